"""Main content: what is left of a page."""

import pytest

from tests.pipelines.pages.article import PARAGRAPHS, SENTENCES, text_of
from tests.pipelines.warc_files import ENGLISH, prose


def test_furniture_inside_the_article_goes() -> None:
    around = (
        "<header><p>The site of the garden, every day something new to read here.</p></header><h1>A headline</h1>"
        "<figure><img><figcaption>A wall, seen from the garden behind the house.</figcaption></figure>"
        "<div class='wp-caption-text'>Another wall, seen from the street, in spring.</div>"
    )
    below = (
        "<div class='Newsletter cookie-banner'>We use cookies. Read more about it in our policy.</div>"
        "<footer>All rights reserved, whatever happens to this page or others.</footer>"
    )
    assert text_of(f"<article>{around}{PARAGRAPHS}{below}</article>") == SENTENCES.split("\n")


def test_a_word_of_furniture_in_the_class_of_the_page_itself_means_nothing() -> None:
    body = f"<main class='cookie-consent-given'><article class='newsletter'>{PARAGRAPHS}</article></main>"
    assert text_of(body) == SENTENCES.split("\n")


def test_a_page_that_stands_in_its_furniture_is_read() -> None:
    assert text_of(f"<header>{PARAGRAPHS}</header>") == SENTENCES.split("\n")


@pytest.mark.parametrize(
    "name",
    [
        "newsletter-content",
        "category-cookies post",
        "wp-block-post post category-cookies",
        "informed-consent-form",
        "copyright-article",
        "cookie-recipes",
        "cookieless-tracking",
        "captioning",
        "recaption",
        "copyrighted-works",
    ],
)
def test_words_of_furniture_in_names_of_content_mean_nothing(name: str) -> None:
    body = f"<article><p>{SENTENCES}</p><div class='{name}'>{PARAGRAPHS}</div></article>"
    assert "\n".join(text_of(body)).count(SENTENCES.split("\n")[3]) == 2


@pytest.mark.parametrize("name", ["newsletter", "cookie-text", "popup"])
def test_most_of_the_prose_is_no_furniture(name: str) -> None:
    intro = "The first sentence of the page stands alone, and there are many more in the part below. " * 3
    body = f"<div><p>{intro}</p><div class='{name}'>{PARAGRAPHS}</div></div>"
    assert text_of(body)[1:] == SENTENCES.split("\n")


@pytest.mark.parametrize(
    "reading", ["<rp>(</rp><rt>かんじ</rt><rp>)</rp>", "<rtc>かんじ</rtc>", "<rtc><rt>かん</rt><rt>じ</rt></rtc>"]
)
def test_readings_of_ruby_go(reading: str) -> None:
    assert text_of(f"<article><p><ruby>漢字{reading}</ruby>を読む人が多い。</p></article>") == ["漢字を読む人が多い。"]


@pytest.mark.parametrize("name", ["photo-caption", "popup-text-{}", "newsletter"])
def test_most_of_a_long_page_is_no_furniture(name: str) -> None:
    """Also where each part of that name is small."""
    intro = " ".join(f"Sentence {number} of the introduction stands in a paragraph of its own." for number in range(20))
    parts = "".join(f"<div class='{name.format(number)}'>{PARAGRAPHS}</div>" for number in range(20))
    text = text_of(f"<div><p>{intro}</p>{parts}</div>")
    assert text[0] == intro
    assert text.count(SENTENCES.split("\n")[1]) == 20


def test_a_banner_beside_a_long_text_stays_out() -> None:
    intro = " ".join(f"Sentence {number} of the introduction stands in a paragraph of its own." for number in range(20))
    banner = f"<div class='cookie-popup'>{PARAGRAPHS * 20}</div>"
    assert text_of(f"<div><p>{intro}</p></div>{banner}") == [intro]


def test_many_lists_are_looked_through_in_linear_time() -> None:
    """Beyond the time limit of a test if each were looked up from the start of the page."""
    item = "<ul class=caption><li>one<li>two<li>three</ul>"
    assert "one" in "\n".join(text_of(f"<p>{SENTENCES}</p>{item * 5000}"))


@pytest.mark.parametrize(
    "attribute", ["class=comment", "class='forum-reply'", "id=comments", "class=hidden", "id=banner"]
)
def test_a_page_that_would_lose_nearly_all_its_prose_keeps_it(attribute: str) -> None:
    posts = "".join(f"<div {attribute}><p>{prose(ENGLISH, seed, 40)}</p></div>" for seed in range(6))
    text = "\n".join(text_of(f"<nav><a href=/>Home</a></nav><h2>A thread</h2><p>Which soil?</p>{posts}<p>Log in</p>"))
    assert all(" ".join(prose(ENGLISH, seed, 40).split()) in " ".join(text.split()) for seed in range(6))
    assert "Home" not in text and "Log in" not in text


def test_comments_beside_an_article_stay_out_where_its_prose_was_lost() -> None:
    article = f"<div class=related><p>{prose(ENGLISH, 1, 200)}</p></div>"
    comments = f"<div class=comments><p>{prose(ENGLISH, 2, 100)}</p></div>"
    text = " ".join(text_of(article + comments))
    assert " ".join(prose(ENGLISH, 1, 200).split()) in " ".join(text.split())
    assert prose(ENGLISH, 2, 100).split("\n")[0] not in text


def test_comments_below_a_short_article_stay_out() -> None:
    comments = "".join(f"<div class=comment><p>{prose(ENGLISH, seed, 40)}</p></div>" for seed in range(3))
    assert len("\n".join(text_of(f"<article><p>{prose(ENGLISH, 9, 90)}</p></article>{comments}")).split()) == 90


@pytest.mark.parametrize("tag", ["summary", "legend", "dialog", "menu", "dir", "search"])
def test_blocks_are_not_joined_with_the_words_beside_them(tag: str) -> None:
    text = text_of(f"<article>{PARAGRAPHS}<div>before<{tag}>inside</{tag}>behind</div>{PARAGRAPHS}</article>")
    assert {"before", "inside", "behind"} <= {line.strip() for line in text}


def short_intro() -> str:
    return "".join(
        f"<p>Sentence {number} of the introduction stands in a paragraph of its own.</p>" for number in range(20)
    )


def test_a_compound_of_furniture_stays_furniture() -> None:
    banner = "We use cookies. Read more about it in our policy."
    assert banner not in text_of(f"<div>{PARAGRAPHS}<div class='cookiebanner'>{banner}</div>{PARAGRAPHS}</div>")


@pytest.mark.parametrize("name", ["captions", "fortune-cookies", "age-of-consent-laws"])
def test_much_prose_beside_a_long_text_is_no_furniture(name: str) -> None:
    body = "".join(f"<p>{prose(ENGLISH, seed, 40)}</p>" for seed in range(5))
    text = " ".join(text_of(f"<div>{short_intro()}</div><div class='{name}'>{body}</div>"))
    assert all(" ".join(prose(ENGLISH, seed, 40).split()) in " ".join(text.split()) for seed in range(5))


def test_paragraphs_of_a_banner_beside_a_long_text_stay_out() -> None:
    banner = f"<p>{'This website uses cookies, so that we can tell you from other visitors of it. ' * 20}</p>"
    text = "\n".join(text_of(f"<div>{short_intro()}</div><div class='cookie-description'>{banner}</div>"))
    assert "This website" not in text and "Sentence 19" in text


def test_a_long_text_that_is_a_small_share_of_the_prose_is_not_all_of_it() -> None:
    parts = "".join(f"<p>{prose(ENGLISH, seed, 40)}</p>" for seed in range(60))
    comments = f"<div class=comments><p>{prose(ENGLISH, 99, 200)}</p></div>"
    text = " ".join(text_of(f"<div>{short_intro()}</div><div class=related>{parts}</div>{comments}"))
    assert all(" ".join(prose(ENGLISH, seed, 40).split()) in " ".join(text.split()) for seed in range(60))
    assert "Sentence 0" in text and prose(ENGLISH, 99, 200).split("\n")[0] not in text


@pytest.mark.parametrize("paragraph", ["<p>{}</p>", "<div>{}</div>", "{}<br><br>"])
@pytest.mark.parametrize(("paragraphs", "words"), [(60, 40), (12, 200)])
def test_a_long_text_that_is_a_small_share_falls_back_however_the_rest_is_set(
    paragraph: str, paragraphs: int, words: int
) -> None:
    rest = [" ".join(prose(ENGLISH, seed, words).split()) for seed in range(paragraphs)]
    text = " ".join(
        text_of(f"<div>{short_intro()}</div><div class=related>{''.join(map(paragraph.format, rest))}</div>")
    )
    assert all(one in " ".join(text.split()) for one in rest) and "Sentence 0" in text


@pytest.mark.parametrize("above", ["", short_intro()])
def test_a_header_that_holds_most_of_the_page_is_no_header(above: str) -> None:
    rest = [" ".join(prose(ENGLISH, seed, 200).split()) for seed in range(12)]
    text = text_of(
        f"<div>{above}</div><header><div class=hidden>{''.join(f'<p>{one}</p>' for one in rest)}</div></header>"
    )
    assert set(rest) <= set(text)


def test_a_header_beside_a_short_text_stays_out() -> None:
    slogan = " ".join(prose(ENGLISH, 7, 40).split())
    assert slogan not in text_of(f"<header><p>{slogan}</p></header><div class=related>{PARAGRAPHS * 6}</div>")


@pytest.mark.parametrize(
    "figure", ["<table><tr><td>{}</td></tr></table>", "<blockquote>{}</blockquote>", "<pre>{}</pre>"]
)
def test_a_figure_of_text_is_text(figure: str) -> None:
    body = f"{PARAGRAPHS}<figure>{figure.format('Nine of ten')}<figcaption>A caption.</figcaption></figure>{PARAGRAPHS}"
    lines = {line.strip() for line in text_of(f"<article>{body}</article>")}
    assert "Nine of ten" in lines and "A caption." not in lines


@pytest.mark.parametrize("name", ["wp-block-embed", "block-pullquote"])
def test_figures_of_other_sites_posts_and_pull_quotes_go(name: str) -> None:
    body = f"{PARAGRAPHS}<figure class={name}><blockquote>Nine of ten</blockquote></figure>{PARAGRAPHS}"
    assert "Nine of ten" not in "\n".join(text_of(f"<article>{body}</article>"))


@pytest.mark.parametrize("hidden", ["hidden", "style='display:none'"])
def test_a_figure_of_text_that_is_hidden_goes(hidden: str) -> None:
    body = f"{PARAGRAPHS}<figure {hidden}><pre>Nine of ten</pre></figure>{PARAGRAPHS}"
    assert "Nine of ten" not in "\n".join(text_of(f"<article>{body}</article>"))


def test_an_aside_of_scripts_does_not_hold_the_page() -> None:
    script = f"<script>{'let a = 1;' * 3000}</script>"
    body = f"<article class=hidden>{PARAGRAPHS * 3}</article><aside>{script}<p>{'Read on here. ' * 50}</p></aside>"
    assert "Read on" not in "\n".join(text_of(body))


@pytest.mark.parametrize("tag", ["form", "aside"])
def test_a_form_or_an_aside_that_holds_the_page_is_none(tag: str) -> None:
    """As some servers put each page into one form."""
    rest = [" ".join(prose(ENGLISH, seed, 200).split()) for seed in range(5)]
    body = f"<div class=hidden>{''.join(f'<p>{one}</p>' for one in rest)}</div>"
    assert set(rest) <= set(text_of(f"<{tag}>{body}</{tag}>"))
