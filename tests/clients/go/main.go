// Initiates a sale, prints it, and shows what is told of one that is refused.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	salev1 "example.com/shop/gen/connectingparty/sale/v1"
)

func main() {
	target := "127.0.0.1:50051"
	if len(os.Args) > 1 {
		target = os.Args[1]
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if key := os.Getenv("KEY"); key != "" { // where the server is not in development mode
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+key)
	}

	token, err := salev1.NewAccessTokenServiceClient(connection).RequestAccessToken(ctx, &salev1.RequestAccessTokenRequest{})
	if err != nil {
		log.Fatal(err)
	}
	sales := salev1.NewSaleServiceClient(connection)
	request := &salev1.InitiateSaleRequest{
		Consumer: &salev1.InitiateSaleRequest_Consumer{
			Device: &salev1.InitiateSaleRequest_Device{SerialNumber: "R58M123ABC"},
		},
		Session:     &salev1.InitiateSaleRequest_Session{AccessToken: token.GetSession().GetAccessToken()},
		Transaction: &salev1.InitiateSaleRequest_Transaction{AmountCentis: 1042, Currency: "EUR"},
	}
	sale, err := sales.InitiateSale(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sale.GetInvoiceId(), sale.GetSession().GetNonce(), sale.GetSession().GetSignature())

	request.Transaction.AmountCentis = 0
	_, err = sales.InitiateSale(ctx, request)
	refusal := status.Convert(err)
	for _, detail := range refusal.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			fmt.Println(refusal.Code(), salev1.ErrorReason_value[detail.GetReason()], refusal.Message())
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				fmt.Println(violation.GetField(), violation.GetDescription())
			}
		}
	}
}
