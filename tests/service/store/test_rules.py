"""What is done about a report, decided without an engine."""

from service.sale_states import SaleState
from service.store import MAX_OTHER_REPORTS
from service.store.rules import WeighedReport, weigh_report
from tests.service.store.test_store import new_report, new_sale

SALE = new_sale()
OTHERS = [("sale", f"made-up-{number}", "1") for number in range(MAX_OTHER_REPORTS)]


def test_a_report_that_is_known_already_is_not_stored_and_tells_where_the_sale_is() -> None:
    weighed = weigh_report(SALE, [("sale", "approved", "1")], new_report(SALE), must_move=False)

    assert weighed == WeighedReport(False, (), SALE)


def test_one_report_too_many_that_tells_of_nothing_known_is_not_stored() -> None:
    weighed = weigh_report(SALE, OTHERS, new_report(SALE, "another"), must_move=False)

    assert weighed == WeighedReport(False, (), None)


def test_a_known_result_is_stored_however_much_was_told_before() -> None:
    weighed = weigh_report(SALE, OTHERS, new_report(SALE), must_move=False)

    assert weighed.is_stored
    assert [sale.state for sale in weighed.moves] == [SaleState.SALE_STATE_APPROVED]


def test_known_results_leave_others_their_room() -> None:
    known = [("sale", "approved", str(number)) for number in range(MAX_OTHER_REPORTS)]

    assert weigh_report(SALE, known, new_report(SALE, "another"), must_move=False).is_stored
