from kfoot.atlas.build.cpp import Preprocessor, evaluate


def lines(text: str, **macros: str) -> list[str]:
    cpp = Preprocessor()
    for name, body in macros.items():
        cpp.define(name, body)
    return [cpp.expand(line).strip() for line in cpp.run(text)]


def test_conditions_nest_and_an_inactive_block_has_no_active_branch():
    text = """
#if BITS == 64 && !defined(COMPAT)
wide
#  ifdef COMPAT
never
#  else
plain
#  endif
#elif BITS == 32
narrow
# if 1
inner
# else
no
# endif
#else
strange
#endif
"""
    assert lines(text, BITS="64") == ["wide", "plain"]
    assert lines(text, BITS="32") == ["narrow", "inner"]
    assert lines(text, BITS="64", COMPAT="1") == ["strange"]


def test_a_macro_pastes_and_makes_strings_as_c_says():
    text = """
#define EVENT(name, args...) DEFINE_EVENT(cls, drv_##name, #name)
#define BOTH(name) EVENT(name) EVENT(name##_done)
BOTH(open)
"""
    assert lines(text) == [
        'DEFINE_EVENT(cls, drv_open, "open") DEFINE_EVENT(cls, drv_open_done, "open_done")'
    ]


def test_a_macro_is_not_expanded_inside_itself_and_arguments_keep_their_commas():
    text = """
#define f(x) f(g(x), x)
f((1, 2))
"""
    assert lines(text) == ["f(g((1, 2)), (1, 2))"]


def test_a_macro_that_makes_itself_longer_comes_to_an_end():
    text = "#define a b b\n#define b a a\na\n"
    assert len(lines(text)[0]) < 100


def test_comments_and_continued_lines_go_but_text_stays():
    assert lines('#define URL "http://x" /* a\nb */\nURL \\\n and more // gone\n') == [
        '"http://x"   and more'
    ]


def test_included_text_defines_for_what_follows():
    cpp = Preprocessor(include={"asm/bits.h": "#define BITS 64\n"}.get)
    text = "#include <asm/bits.h>\n#include <not/there.h>\n#if BITS > 32\nyes\n#endif\n"
    assert list(cpp.run(text)) == ["yes"]


def test_expressions_have_the_value_the_compiler_gives():
    assert evaluate("1 + 2 * 3 << 1") == 14
    assert evaluate("(0x10UL | 1) == 17 && !0") == 1
    assert evaluate("010") == 8
    assert evaluate("unknown") == 0
    assert evaluate("1 +") is None
    assert evaluate("") is None


def test_hostile_macros_come_to_an_end():
    cpp = Preprocessor()
    for level in range(60):
        cpp.define(f"laugh{level}", f"laugh{level + 1} laugh{level + 1}")
    assert "laugh" in cpp.expand("laugh0")
    cpp.define("f", "x", ("x",))
    nested = "f(" * 5000 + ")" * 5000
    assert len(cpp.expand(nested)) <= len(nested)
    assert evaluate("(" * 5000 + "1" + ")" * 5000) is None
