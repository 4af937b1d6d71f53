package shop;

import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import connectingparty.sale.v1.AccessTokenServiceGrpc;
import connectingparty.sale.v1.ErrorReason;
import connectingparty.sale.v1.InitiateSaleRequest;
import connectingparty.sale.v1.RequestAccessTokenRequest;
import connectingparty.sale.v1.SaleServiceGrpc;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.util.concurrent.TimeUnit;

/** Initiates a sale, prints it, and shows what is told of one that is refused. */
public final class Sale {
  public static void main(String[] arguments) throws Exception {
    var target = arguments.length > 0 ? arguments[0] : "127.0.0.1:50051";
    var channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create()).build();
    var metadata = new Metadata();
    if (System.getenv("KEY") != null) { // where the server is not in development mode
      var name = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);
      metadata.put(name, "Bearer " + System.getenv("KEY"));
    }
    var credentials = MetadataUtils.newAttachHeadersInterceptor(metadata);
    var tokens = AccessTokenServiceGrpc.newBlockingStub(channel).withInterceptors(credentials);
    var sales = SaleServiceGrpc.newBlockingStub(channel).withInterceptors(credentials);

    var token =
        tokens.withDeadlineAfter(5, TimeUnit.SECONDS)
            .requestAccessToken(RequestAccessTokenRequest.getDefaultInstance())
            .getSession().getAccessToken();
    var request = InitiateSaleRequest.newBuilder();
    request.getConsumerBuilder().getDeviceBuilder().setSerialNumber("R58M123ABC");
    request.getSessionBuilder().setAccessToken(token);
    request.getTransactionBuilder().setAmountCentis(1042).setCurrency("EUR");
    var sale = sales.withDeadlineAfter(5, TimeUnit.SECONDS).initiateSale(request.build());
    var session = sale.getSession();
    System.out.println(sale.getInvoiceId() + " " + session.getNonce() + " " + session.getSignature());

    request.getTransactionBuilder().setAmountCentis(0);
    try {
      sales.withDeadlineAfter(5, TimeUnit.SECONDS).initiateSale(request.build());
    } catch (StatusRuntimeException refusal) {
      for (var detail : StatusProto.fromThrowable(refusal).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          var reason = ErrorReason.valueOf(detail.unpack(ErrorInfo.class).getReason());
          var status = refusal.getStatus();
          System.out.println(status.getCode() + " " + reason.getNumber() + " " + status.getDescription());
        } else if (detail.is(BadRequest.class)) {
          for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
            System.out.println(violation.getField() + " " + violation.getDescription());
          }
        }
      }
    }
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }
}
