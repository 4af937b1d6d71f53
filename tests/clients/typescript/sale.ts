// Initiates a sale, prints it, and shows what is told of one that is refused.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { AccessTokenService } from "./gen/connectingparty/sale/v1/access_token_service_pb.ts";
import { ErrorReason } from "./gen/connectingparty/sale/v1/error_reason_pb.ts";
import { SaleService } from "./gen/connectingparty/sale/v1/sale_service_pb.ts";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.ts";

const transport = createGrpcTransport({ baseUrl: process.argv[2] ?? "http://127.0.0.1:50051" });
const tokens = createClient(AccessTokenService, transport);
const sales = createClient(SaleService, transport);
// Where the server is not in development mode: { authorization: "Bearer " + the caller's key }.
const headers: Record<string, string> = process.env.KEY ? { authorization: `Bearer ${process.env.KEY}` } : {};

const { session } = await tokens.requestAccessToken({}, { timeoutMs: 5000, headers });
const request = {
  consumer: { device: { serialNumber: "R58M123ABC" } },
  session: { accessToken: session!.accessToken },
  transaction: { amountCentis: 1042n, currency: "EUR" },
};
const sale = await sales.initiateSale(request, {
  timeoutMs: 5000,
  headers: { ...headers, "idempotency-key": crypto.randomUUID() },
});
console.log(sale.invoiceId, sale.session!.nonce, sale.session!.signature);

try {
  await sales.initiateSale({ ...request, transaction: { amountCentis: 0n, currency: "EUR" } }, { timeoutMs: 5000, headers });
} catch (error) {
  if (!(error instanceof ConnectError)) throw error;
  const [info] = error.findDetails(ErrorInfoSchema);
  const reason = info.reason.replace("ERROR_REASON_", "") as keyof typeof ErrorReason;
  console.log(Code[error.code], ErrorReason[reason], error.rawMessage);
  for (const { field, description } of error.findDetails(BadRequestSchema)[0].fieldViolations) console.log(field, description);
}
