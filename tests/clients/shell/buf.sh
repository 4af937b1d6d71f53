# Initiates a sale by `buf curl`, then one that is refused; by reflection, so that no proto is needed.
set -e
SALE=${1:-http://127.0.0.1:50051}/connectingparty.sale.v1
call() { buf curl --protocol grpc --http2-prior-knowledge ${KEY:+--header "authorization: Bearer $KEY" --reflect-header '*'} -d "$2" "$SALE.$1"; }

TOKEN=$(call AccessTokenService/RequestAccessToken '{}' | grep -oE '[0-9a-f]{32,}')
sale() {
  echo '{"consumer": {"device": {"serialNumber": "R58M123ABC"}}, "session": {"accessToken": "'$TOKEN'"},
         "transaction": {"amountCentis": '$1', "currency": "EUR"}}'
}
call SaleService/InitiateSale "$(sale 1042)"
REFUSAL=$(call SaleService/InitiateSale "$(sale 0)" 2>&1) && exit 1
echo "$REFUSAL"
echo "$REFUSAL" | grep -q 'amountCentis must be greater than 0' # whether it is the wanted one
