"""The whole dashboard without a mouse."""

from playwright.sync_api import Page, expect


def focused_row(page: Page) -> str | None:
    name: str | None = page.evaluate("document.activeElement.closest('[data-row]')?.dataset.row ?? null")
    return name


def test_j_and_k_move_among_the_rows_and_enter_opens_one(page: Page) -> None:
    first, second = (page.locator("#live [data-row]").nth(index).get_attribute("data-row") for index in (0, 1))

    page.keyboard.press("j")
    assert focused_row(page) == first
    page.keyboard.press("j")
    assert focused_row(page) == second
    page.keyboard.press("k")
    assert focused_row(page) == first

    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(first or "")


def test_a_slash_searches_and_escape_leaves_the_field(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()

    page.keyboard.type("jk?")
    expect(page.get_by_label("Search")).to_have_value("jk?")

    page.keyboard.press("Escape")
    expect(page.get_by_label("Search")).not_to_be_focused()


def test_the_button_of_the_keys_says_what_it_is(page: Page) -> None:
    page.get_by_role("button", name="Keyboard").click()

    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


def test_a_question_mark_explains_the_keys_until_escape(page: Page) -> None:
    help_ = page.get_by_role("dialog", name="Keyboard")

    page.keyboard.press("?")
    expect(help_).to_be_visible()
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()


def test_the_row_under_the_cursor_stays_when_the_list_is_renewed(page: Page) -> None:
    page.keyboard.press("j")
    row = focused_row(page)
    page.evaluate("document.getElementById('live').dataset.old = 'yes'")

    expect(page.locator("#live:not([data-old])")).to_be_attached()

    assert focused_row(page) == row


def test_g_and_a_letter_go_to_another_page(page: Page) -> None:
    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("link", name="System")).to_have_attribute("aria-current", "page")
