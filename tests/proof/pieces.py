"""What hostile JSON is made of: values, escapes, texts and bytes at which parsers fail, or differ from one another."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


NUMBERS = (
    *_words("0 -0 -1 1 00 01 +1 - .5 1. 1.0 -0.0 1e2 1E+2 1e-2 1e 1e999 -1e999 1e-400 0x10 1_000"),
    *_words("9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809"),
    *_words("18446744073709551616 2147483648 123456789012345678901234567890 90.00000000000001 -180.1"),
    *("\u0661", "NaN", "Infinity", "-Infinity"),
    *("9" * 5000, "1" + "0" * 308, "0." + "3" * 400),
)
ESCAPES = (
    *_words(r"\u0000 \ud800 \udc00\ud800 \ud83d\ude00 \uD83D \u2028 \u000a \n \r\n \/ \" \u202e \ufeff \ufffe"),
    *_words(r"\u001b[31m \x41 \u12 \u00zz \U0001F600 \0 \' \a \ "),
)
TEXTS = (
    *_words("\0 \x7f \x1b[2J \ufeff \ufffe \U0010ffff \u202e e\u0301 \u00e9 \ud800 \udfff \u0130 \u212a"),
    *_words("../../../etc/passwd ${jndi:ldap://x/y} {{7*7}} %s%n%x $(id) __proto__ <script> null true -1 1e5"),
    *("", " ", "\n", "\t", "\u2028", "\r\nX-Injected: 1", "' OR 1=1 --", '\\"; DROP TABLE sales; --'),
)
KEYS = (
    *_words(r"__proto__ constructor error consumer session a.b [0] \u0000 \ud800"),
    *("", "\u2028", "x" * 3000),
)
SPACES = (" ", "\n", "\t\r\n ", " " * 500, "\f", "\v", "\u00a0", "\ufeff", "/**/", "//x\n", "#x\n", "\0")
WORDS = (*_words("null true false nul True None undefined [] {} [null] [[]] 'a'"), '""', '{"":null}', "")
BROKEN_MEMBERS = ('"%s"', '"%s"%s', "%s:%s", "'%s':%s", '"%s"=:%s', '"%s::%s"', '"%s":%s,', "")
DEPTHS = (1, 2, 28, 30, 31, 32, 33, 40)
GREAT_DEPTHS = (1000, 20_000)
BRACKETS = (("[", "]"), ('{"a":', "}"), ("[", ""), ("", "]"), ("[", "}"))
SIGNS = (*[",", ":", "}", "]", "{", "[", '"', "\\", ",,", "//", "/*"],)
TAILS = ("}", ",", "\0", "\n", "x", "[]", " " * 1000)
HEADS = ("[", "[[", '"', "[0,")
BYTES = (
    *(b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x00", b"\x1b"),
    *(b'"', b"\\", b"{", b"}", b"[", b",", b":"),
)
BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff", b"\x1e")
ENCODINGS = ("utf-16", "utf-16-be", "utf-32", "utf-7")
FILLINGS = (b" ", b"[", b"{", b'"\\', b"\\", b"0")
ALPHABETS = ("0123456789abcdef", "A", "\u0436", "\U0001f600", "e\u0301", "aB3-._ ~")
HOSTILE_ALPHABETS = (*ALPHABETS, "\0", "\ud800a", "\u202e", "\x1b[", "\\\\", "'")
IPV4 = "192.0.2.17"
