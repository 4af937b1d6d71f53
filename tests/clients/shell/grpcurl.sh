# Initiates a sale by `grpcurl`, then one that is refused; by reflection, so that no proto is needed.
set -e
SERVER=${1:-127.0.0.1:50051}
call() { grpcurl -plaintext ${KEY:+-H "authorization: Bearer $KEY"} -format-error -d "$2" "$SERVER" "connectingparty.sale.v1.$1"; }

TOKEN=$(call AccessTokenService/RequestAccessToken '{}' | grep -oE '[0-9a-f]{32,}')
sale() {
  echo '{"consumer": {"device": {"serialNumber": "R58M123ABC"}}, "session": {"accessToken": "'$TOKEN'"},
         "transaction": {"amountCentis": '$1', "currency": "EUR"}}'
}
call SaleService/InitiateSale "$(sale 1042)"
REFUSAL=$(call SaleService/InitiateSale "$(sale 0)" 2>&1) && exit 1
echo "$REFUSAL"
echo "$REFUSAL" | grep -q 'amountCentis must be greater than 0' # whether it is the wanted one
