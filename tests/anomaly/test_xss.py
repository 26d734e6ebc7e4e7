import pytest

from calyapp.anomaly.xss import is_hostile_markup, is_scripting


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<script src=//bad.example/a.js></script>",
        "<svg/onload=go()>",
        '<img src=x onerror="alert(1)">',
        '" autofocus onfocus="eval(name)',
        "';alert(1)//",
        "java\nscript:alert(1)",
        "<iframe srcdoc='<p>'>",
        "{{constructor.constructor('alert(1)')()}}",
        "top['al'+'ert'](1)",
        "data:text/html,<b>",
        "<script>fetch('/next').then(send)</script>",
        "<script>function(atob('ywxlcnqomsk='))()</script>",
        "<img src='j\na\nv\na\ns\nc\nr\ni\np\nt\n:\ng\no'>",
        "<button formaction=//bad.example>",
        "eval(a+b)",
        "fetch('/a').then(eval)",
        "[,alert][1](1)",
        "<script src='https://api.example/a?callback=go'></script>",
        "<a href=file:///etc/hosts>",
    ],
)
def test_self_executing_code_is_scripting(text):
    assert is_scripting(text)


@pytest.mark.parametrize(
    "text",
    [
        "<b>important</b> i <3 this, x < y",
        '<button onclick="save()">save</button>',
        '<img src="/a.png" onerror="this.src=\'/b.png\'">',
        '<script src="/static/app.js" defer></script>',
        "<script>\n  const socket = new websocket(address);\n</script>",
        "window.onload = function () { init(); };",
        '<a href="javascript:void(0)">open</a>',
        "<script>\n  const theme = settings.theme;\n  apply(",
        "usage: send <xml-file> <key>; poll with `setinterval` or not",
        "javascript: the good parts",
        "alert (urgent): please confirm (yes/no)",
    ],
)
def test_a_template_or_a_sentence_is_not_scripting(text):
    assert not is_scripting(text)


def test_a_call_without_markup_is_not_hostile_markup():
    assert is_hostile_markup("<svg onload=go()>")
    assert not is_hostile_markup("document.cookie; alert(1)")
