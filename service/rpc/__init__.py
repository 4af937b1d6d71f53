"""The domain behind gRPC: servicers, interceptors, and the two ways to reach them, over the network and in process."""
