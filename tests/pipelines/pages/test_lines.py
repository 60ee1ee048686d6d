"""Short lines at the ends of a text: which of them belong to it, as ingredients and what letters begin and end with."""

import pytest

from tests.pipelines.pages.article import PARAGRAPHS, SENTENCES, text_of


def test_short_lines_at_the_ends_go_lists_and_inner_headings_stay() -> None:
    article = f"<p>By somebody</p><p>3 May</p>{PARAGRAPHS}<h2>Inside</h2>{PARAGRAPHS}<p>Share</p><p>Next page</p>"
    expected = [*SENTENCES.split("\n"), "Inside", *SENTENCES.split("\n")]
    assert text_of(f"<article>{article}</article>") == expected
    recipe = "".join(f"<p>{count} grams of flour number {count}</p>" for count in range(20))
    assert len(text_of(f"<article>{PARAGRAPHS}{recipe}</article>")) == len(SENTENCES.split("\n")) + 20


def test_a_page_without_a_sentence_keeps_its_lines() -> None:
    lines = [f"Roses are red number {number}" for number in range(20)]
    assert text_of("<article>" + "".join(f"<p>{line}</p>" for line in lines) + "</article>") == lines


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


@pytest.mark.parametrize("mark", ["[4]", " [12][13]", " (MTI)", " [citation needed]", "” (Reuters)"])
def test_a_sentence_ends_before_the_mark_of_a_footnote_or_an_agency(mark: str) -> None:
    assert text_of(f"<article>{PARAGRAPHS}<p>It burned down.{mark}</p></article>")[-1] == f"It burned down.{mark}"
    assert not text_of(f"<article>{PARAGRAPHS}<p>A photograph{mark}</p></article>")[-1].endswith(mark)
    sentence = "The mill was rebuilt when the river had taken the bridge in {}, and the road with it.{}"
    marked = "".join(f"<p>{sentence.format(year, mark)}</p>" for year in range(1840, 1850))
    assert len(text_of(f"<body><p>The history of a mill.</p><div class='print-only'>{marked}</div></body>")) == 10


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


def test_blank_lines_at_both_ends_are_passed_in_linear_time() -> None:
    """Beyond the time limit of a test if each looked at all behind it."""
    blank = "\n" * 100_000
    lines = text_of(f"<article><pre>Menu{blank}</pre>{PARAGRAPHS}<pre>Home{blank}Imprint</pre></article>")
    assert lines == SENTENCES.split("\n")


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


def test_a_long_line_of_few_words_ends_no_letter() -> None:
    """It is not looked at: a page can be one line of megabytes, for each of which that takes a second and more."""
    filler = "x" * 300
    body = f"{PARAGRAPHS}<p>Kind regards {filler}</p><p>Share</p><p>Next page</p>"
    assert text_of(f"<article>{body}</article>") == [*SENTENCES.split("\n"), f"Kind regards {filler}"]


@pytest.mark.parametrize("below", ["Back to top", "Latest news", "By Ann Lee, 3 May"])
def test_a_word_with_a_comma_above_no_name_closes_no_letter(below: str) -> None:
    lines = text_of(f"<article>{PARAGRAPHS}<p>Reuters,</p><p>{below}</p></article>")
    assert lines == SENTENCES.split("\n") if below != "Latest news" else "Latest news" not in lines


@pytest.mark.parametrize(
    "item", ["<li>{}</li>", "{}<br>", "<div>{}</div>", "<div><span>{}</span></div>", "<h5>{}</h5>"]
)
@pytest.mark.parametrize("heading", ["h2", "h3", "h1", "header", "label", "p", "h2><b"])
@pytest.mark.parametrize("part", ["aside", "figcaption"])
def test_ingredients_in_an_aside_stay_however_they_and_their_heading_are_set(
    part: str, heading: str, item: str
) -> None:
    items = "".join(map(item.format, AMOUNTS))
    body = f"<{part}><{heading}>For the rice</{heading.partition('>')[0]}>{items}</{part}>{METHOD}"
    lines = [line.strip() for line in text_of(f"<article>{body}</article>")]
    assert lines[:6] == ["For the rice", *AMOUNTS, "Preparation"]


@pytest.mark.parametrize("item", ["{}<br>", "<div>{}</div>"])
@pytest.mark.parametrize(
    "names",
    [
        ("12 comments", "45 shares", "3 min read"),
        ("Bonn 12 °C", "Wien 9 °C", "Graz 11 °C"),
        tuple(f"<a href=/{n}>{n} kg of news</a>" for n in range(4)),
    ],
)
def test_counts_and_links_in_an_aside_go(names: tuple[str, ...], item: str) -> None:
    aside = f"<aside><h2>Today</h2>{''.join(map(item.format, names))}</aside>"
    assert text_of(f"<article>{PARAGRAPHS}{aside}</article>") == SENTENCES.split("\n")


def test_an_aside_of_many_attributes_is_looked_at_in_linear_time() -> None:
    """Beyond the time limit of a test if each tag that is never closed were looked for up to the aside's end."""
    script = f"<script>{'<br' * 1500}</script>"
    aside = f"<aside>1 2 3{script}<img alt='{'x' * 500_000}'></aside>"
    assert text_of(f"<article>{aside * 10}{PARAGRAPHS}</article>") == SENTENCES.split("\n")


def test_a_label_in_the_heading_of_ingredients_stays() -> None:
    items = "".join(f"<p>{name}</p>" for name in AMOUNTS)
    lines = text_of(f"<article><h2><label>Ingredients</label></h2>{items}{METHOD}</article>")
    assert lines[:5] == ["Ingredients", *AMOUNTS]


@pytest.mark.parametrize("part", ["aside", "figcaption"])
def test_ingredients_beside_the_method_stay_and_other_asides_go(part: str) -> None:
    items = "".join(f"<li>{name}</li>" for name in AMOUNTS)
    links = "".join(f"<li><a href=/{n}>{n} g of the news</a></li>" for n in range(5))
    body = f"<{part}><h3>You need</h3><ul>{items}</ul></{part}><{part}><ul>{links}</ul></{part}>{METHOD}"
    lines = [line.strip() for line in text_of(f"<article>{body}</article>")]
    assert lines[:6] == ["You need", *AMOUNTS, "Preparation"]
    assert not any("news" in line for line in lines)
