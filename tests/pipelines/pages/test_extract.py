"""Main content: what is left of a page, and what of its ends."""

import pytest
from resiliparse.parse.html import HTMLTree

from pipelines.pages.extract import main_content
from pipelines.settings import ExtractionSettings
from tests.pipelines.warc_files import ENGLISH, prose

SENTENCES = prose(ENGLISH, 1)
PARAGRAPHS = "".join(f"<p>{line}</p>" for line in SENTENCES.split("\n"))


def text_of(body: str, **options: bool) -> list[str]:
    text = main_content(HTMLTree.parse(f"<html><body>{body}</body></html>"), ExtractionSettings(**options))
    return [line for line in text.split("\n") if line.strip()]


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


def test_short_lines_at_the_ends_go_lists_and_inner_headings_stay() -> None:
    article = f"<p>By somebody</p><p>3 May</p>{PARAGRAPHS}<h2>Inside</h2>{PARAGRAPHS}<p>Share</p><p>Next page</p>"
    expected = [*SENTENCES.split("\n"), "Inside", *SENTENCES.split("\n")]
    assert text_of(f"<article>{article}</article>") == expected
    recipe = "".join(f"<p>{count} grams of flour number {count}</p>" for count in range(20))
    assert len(text_of(f"<article>{PARAGRAPHS}{recipe}</article>")) == len(SENTENCES.split("\n")) + 20


def test_a_page_without_a_sentence_keeps_its_lines() -> None:
    lines = [f"Roses are red number {number}" for number in range(20)]
    assert text_of("<article>" + "".join(f"<p>{line}</p>" for line in lines) + "</article>") == lines


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


def test_ingredients_stay() -> None:
    items = "".join(f"<li>{count} spoons of flour</li>" for count in range(4))
    lines = text_of(f"<article><h2>Ingredients</h2><ul>{items}</ul><h2>Preparation</h2>{PARAGRAPHS}</article>")
    assert [line.strip() for line in lines[:6]] == [
        "Ingredients",
        *(f"{count} spoons of flour" for count in range(4)),
        "Preparation",
    ]


@pytest.mark.parametrize(
    ("salutation", "closing"),
    [
        ("Dear Mr Smith", "Kind regards"),
        ("Liebe Anna", "Viele Grüße"),
        ("Kedves Péter", "Üdvözlettel"),
        ("Cher ami", "Bien à toi"),
        ("To whom it may concern", "Regards,"),
        ("Ladies and Gentlemen,", "Many thanks,"),
        ("Szia Anna", "Baráti üdvözlettel"),
        ("Guten Tag Frau Kovacs", "Mit freundlichem Gruß"),
        ("Madame, Monsieur,", "Bien cordialement"),
        ("Poštovani,", "Lijep pozdrav"),
        ("Ahoj Anno", "Srdečně"),
        ("Kochana Anno", "Serdecznie pozdrawiam"),
        ("Bună Anna", "Toate cele bune"),
        ("Rakkaat lukijat,", "Terveisin"),
        ("Muy señora mía:", "Besitos"),
        ("Distinguidos señores:", "Un abrazo muy fuerte"),
        ("Dear Madam", "Warmest personal regards"),
        ("Liebes Team", "Viele liebe Grüsse aus Chur"),
        ("Monsieur le Maire,", "Respectueuses salutations"),
        ("Здравствуйте Ольга", "Всего наилучшего"),
        ("Hallo zusammen", "GLG"),
        ("Dear all", "With all my love"),
        ("Kjære Ola", "Takk for nå,"),  # by its comma, above a name
        ("Αγαπητή Άννα", "Τα λέμε σύντομα,"),
    ],
)
def test_salutation_and_signature_of_a_letter_stay(salutation: str, closing: str) -> None:
    article = f"<p>3 May</p><p>{salutation}</p>{PARAGRAPHS}<p>{closing}</p><p>Somebody</p>"
    assert text_of(f"<article>{article}</article>") == [salutation, *SENTENCES.split("\n"), closing, "Somebody"]


@pytest.mark.parametrize("closing", ["Grüße, Hanna", "LG Peter", "Abrazos de Ana"])
def test_a_closing_with_the_name_in_its_line_stays(closing: str) -> None:
    assert text_of(f"<article>{PARAGRAPHS}<p>{closing}</p></article>")[-1] == closing


def test_a_signature_below_a_closing_that_ends_a_sentence_stays() -> None:
    assert text_of(f"<article>{PARAGRAPHS}<p>Herzliche Grüsse!</p><p>Hanna</p></article>")[-1] == "Hanna"


@pytest.mark.parametrize(
    "lines",
    [
        ("Share this", "LG TV", "More"),
        ("Love stories", "Sports"),
        ("Bonn, Germany", "Room 12"),
        ("Next,", "12 comments"),
    ],
)
def test_short_lines_below_the_text_that_close_no_letter_go(lines: tuple[str, ...]) -> None:
    below = "".join(f"<p>{line}</p>" for line in lines)
    assert text_of(f"<article>{PARAGRAPHS}{below}</article>") == SENTENCES.split("\n")


def test_a_place_above_the_text_takes_nothing_with_it() -> None:
    assert text_of(f"<article><p>Menu</p><p>Paris,</p>{PARAGRAPHS}</article>")[-13:] == SENTENCES.split("\n")


METHOD = f"<h2>Preparation</h2>{PARAGRAPHS}"


@pytest.mark.parametrize(
    "item",
    [
        "<p>{}</p>",
        "{}<br>",
        "<div>{}</div>",
        "<dl><dt>{}</dt></dl>",
        "<table><tr><td>{}</td></tr></table>",
        "<p><a href=/one>{}</a></p>",
    ],
)
@pytest.mark.parametrize("heading", ["What you need", ""])
@pytest.mark.parametrize(
    "ingredients",
    [("200 g flour", "2 eggs", "½ spoon of sugar", "salt"), ("Mehl 200 g", "Eier: 2 St.", "Butter – 100 g", "Salz")],
)
def test_ingredients_stay_however_they_are_set(item: str, heading: str, ingredients: tuple[str, ...]) -> None:
    items = "".join(item.format(name) for name in ingredients)
    lines = text_of(f"<article><h2>{heading}</h2>{items}{METHOD}</article>")
    expected = [*([heading] if heading else []), *ingredients]
    assert [line.strip() for line in lines[: len(expected)]] == expected


@pytest.mark.parametrize(
    "heading", ["Hozzávalók", "Zutaten für 4 Personen", "Ingredients:", "Składniki", "Ингредиенты"]
)
def test_ingredients_without_quantities_stay_below_their_heading(heading: str) -> None:
    lines = text_of(f"<article><h2>{heading}</h2><p>flour</p><p>eggs</p><p>salt</p>{METHOD}</article>")
    assert lines[:4] == [heading, "flour", "eggs", "salt"]


@pytest.mark.parametrize("last", ["<li><a href=/salt>salt</a></li>", "<li><input type=checkbox>salt</li>"])
def test_ingredients_with_a_link_or_boxes_to_tick_stay(last: str) -> None:
    items = "".join(f"<li>{count} spoons of flour</li>" for count in range(4))
    lines = text_of(f"<article><h2>For the cake</h2><ul>{items}{last}</ul>{METHOD}</article>")
    assert [line.strip() for line in lines[:6:5]] == ["For the cake", "salt"]


@pytest.mark.parametrize("item", ["<li><a href=/{0}>Section {0}</a></li>", "<li>2{0} parts <button>+</button></li>"])
def test_a_menu_above_the_text_goes(item: str) -> None:
    items = "".join(item.format(count) for count in range(4))
    assert text_of(f"<article><h2>Sections</h2><ul>{items}</ul>{PARAGRAPHS}</article>") == SENTENCES.split("\n")


@pytest.mark.parametrize("item", ["<p>{}</p>", "<li>{}</li>", "<tr><td>{}</td></tr>"])
@pytest.mark.parametrize("heading", ["Ингредиенты", "Что нужно"])
def test_ingredients_below_the_method_stay(item: str, heading: str) -> None:
    """With those at their end that have no quantity."""
    names = ("300 г муки", "3 яйца", "60 г масла", "щепотка перца")
    items = "".join(map(item.format, names))
    outer = {"<l": "ul", "<t": "table", "<p": "div"}[item[:2]]
    lines = text_of(f"<article>{PARAGRAPHS}<h2>{heading}</h2><{outer}>{items}</{outer}></article>")
    assert [line.strip() for line in lines[-5:]] == [heading, *names]


def test_rows_of_ingredients_below_the_method_stay() -> None:
    rows = (("Мука", "300 г"), ("Яйца", "3 шт."), ("Масло", "60 г"), ("Соль", "щепотка соли"))
    table = "".join(f"<tr><td>{name}</td><td>{amount}</td></tr>" for name, amount in rows)
    lines = text_of(f"<article>{PARAGRAPHS}<h2>Продукты</h2><table>{table}</table></article>")
    assert [line.split() for line in lines[-3:]] == [
        ["Яйца", "3", "шт."],
        ["Масло", "60", "г"],
        ["Соль", "щепотка", "соли"],
    ]


def test_ranks_below_the_text_are_no_ingredients() -> None:
    ranks = "".join(f"<p>{number} El {name}</p>" for number, name in enumerate(("cine", "mar", "museo"), 1))
    assert text_of(f"<article>{PARAGRAPHS}{ranks}</article>") == SENTENCES.split("\n")


def test_counts_above_the_text_are_no_ingredients() -> None:
    for counts in (("12 comments", "45 shares", "3 min read"), ("120 likes", "34 replies", "5 views")):
        above = "".join(f"<p>{line}</p>" for line in ("By Mary Brown", *counts))
        assert text_of(f"<article>{above}{PARAGRAPHS}</article>") == SENTENCES.split("\n")


def test_years_above_the_text_are_no_ingredients() -> None:
    years = "".join(f"<p>{year} Report</p>" for year in range(2012, 2016))
    assert text_of(f"<article>{years}{PARAGRAPHS}</article>") == SENTENCES.split("\n")


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


def test_blank_lines_at_both_ends_are_passed_in_linear_time() -> None:
    """Beyond the time limit of a test if each looked at all behind it."""
    blank = "\n" * 100_000
    lines = text_of(f"<article><pre>Menu{blank}</pre>{PARAGRAPHS}<pre>Home{blank}Imprint</pre></article>")
    assert lines == SENTENCES.split("\n")


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


AMOUNTS = ("250 g of rice", "3 carrots", "1 tbsp oil", "pepper")


@pytest.mark.parametrize(
    "item",
    [
        "<li><label><input type=checkbox> {0}</label></li>",
        "<li><input type=checkbox id=i{1}><label for=i{1}>{0}</label></li>",
        "<div><label><input type=checkbox><span>{0}</span></label></div>",
        "<label class=one><input type=checkbox>{0}</label>",
        "<label>{0}</label><br>",
        "<tr><td><input type=checkbox></td><td><label>{0}</label></td></tr>",
    ],
)
@pytest.mark.parametrize("around", ["<article>{}</article>", "{}", "<main><form>{}</form></main>"])
def test_ingredients_to_tick_stay(item: str, around: str) -> None:
    """The library drops what stands in a label."""
    items = "".join(item.format(name, number) for number, name in enumerate(AMOUNTS))
    outer = "ul" if item.startswith("<li") else "table" if item.startswith("<tr") else "section"
    body = f"<h2>What goes in</h2><{outer}>{items}</{outer}>{METHOD}"
    lines = [line.strip() for line in text_of(around.format(body))]
    assert lines[:6] == ["What goes in", *AMOUNTS, "Preparation"]


def test_steps_to_tick_and_ingredients_without_amounts_stay() -> None:
    item = "<li><label><input type=checkbox>{}</label></li>"
    steps = [f"Stir it for the time number {number}." for number in range(4)]
    for names, heading in ((("flour", "eggs", "salt"), "Ingredients"), (steps, "Steps")):
        items = "".join(map(item.format, names))
        lines = text_of(f"<article>{PARAGRAPHS}<h2>{heading}</h2><ul>{items}</ul>{PARAGRAPHS}</article>")
        assert set(names) <= {line.strip() for line in lines}


def test_words_of_a_paragraph_in_a_label_stay() -> None:
    text = text_of(f"<article><p>The word <label>harbour</label> is of no field.</p>{PARAGRAPHS}</article>")
    assert text[0] == "The word harbour is of no field."


@pytest.mark.parametrize(
    "form",
    [
        "<label for=m>Your 3 names</label><input id=m><label>2 of us<input></label><label>4 g<select></select></label>",
        "<ul>" + "".join(f"<li><label><input type=checkbox>Brand {n}</label></li>" for n in range(5)) + "</ul>",
        "<p><label>E-mail</label><input> We write to you once a week, and not more often than that.</p>",
        "<label><input type=checkbox>I agree that all of this is kept for as long as it takes.</label>",
    ],
)
def test_labels_of_a_form_go(form: str) -> None:
    lines = text_of(f"<article>{PARAGRAPHS}<form>{form}</form>{PARAGRAPHS}</article>")
    assert not any(word in line for line in lines for word in ("3 names", "of us", "Brand", "E-mail", "agree"))


@pytest.mark.parametrize("part", ["aside", "figcaption"])
def test_ingredients_beside_the_method_stay_and_other_asides_go(part: str) -> None:
    items = "".join(f"<li>{name}</li>" for name in AMOUNTS)
    links = "".join(f"<li><a href=/{n}>{n} g of the news</a></li>" for n in range(5))
    body = f"<{part}><h3>You need</h3><ul>{items}</ul></{part}><{part}><ul>{links}</ul></{part}>{METHOD}"
    lines = [line.strip() for line in text_of(f"<article>{body}</article>")]
    assert lines[:6] == ["You need", *AMOUNTS, "Preparation"]
    assert not any("news" in line for line in lines)


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


@pytest.mark.parametrize("tag", ["form", "aside"])
def test_a_form_or_an_aside_that_holds_the_page_is_none(tag: str) -> None:
    """As some servers put each page into one form."""
    rest = [" ".join(prose(ENGLISH, seed, 200).split()) for seed in range(5)]
    body = f"<div class=hidden>{''.join(f'<p>{one}</p>' for one in rest)}</div>"
    assert set(rest) <= set(text_of(f"<{tag}>{body}</{tag}>"))
