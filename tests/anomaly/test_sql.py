import pytest

from calyapp.anomaly.sql import is_injection


@pytest.mark.parametrize(
    "text",
    [
        "' or 1=1 --",
        "x' and name is not null --",
        "1 or 7 between 1 and 9",
        "a') or ('b'='b",
        "9; drop table calls",
        "9/**/union/**/select/**/1,2",
        "9 un/**/ion sel/**/ect 1,2",
        "'||(select secret from staff)||'",
        "1 and sleep(5)",
        "1 order by 9--",
        "asha'#",
        "1 and not !sleep(5)",
        "'or select *",
        "1;begin user_lock.sleep(5); end",
        "1' and bit_count(0)=bit_count(0)--",
        "if(now()=sysdate(),sleep(4),0)",
    ],
)
def test_syntax_that_leaves_its_value_is_an_injection(text):
    assert is_injection(text)


@pytest.mark.parametrize(
    "text",
    [
        "o'brien and d'souza or mrs. o'hara",
        "a = 'x' and b = 'y' or c > 5",
        "select name from leads where id in (select lead_id from calls) order by 1",
        "select a from b union select c from d",
        "begin; update a set b = 1; commit;",
        "size 5' or 6', 12\" or 15\"",
        "option 1 or 2; plan 3 and 4 = 999 per month",
        "european union select committee",
        "called at 10:30; call back tomorrow",
        "await sleep(1000);",
    ],
)
def test_a_sentence_or_a_whole_statement_is_not_an_injection(text):
    assert not is_injection(text)
