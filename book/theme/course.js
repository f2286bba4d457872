// What scrolls can be reached by the keyboard, a box that is ticked stays ticked, and paper shows what is folded.
(() => {
    const reachable = () => {
        for (const block of document.querySelectorAll("main pre code, .table-wrapper")) {
            const scrolls = block.scrollWidth > block.clientWidth;
            if (scrolls && !block.hasAttribute("tabindex")) {
                block.tabIndex = 0;
                block.setAttribute("role", "group");
                block.setAttribute("aria-label", block.matches("code") ? "Code, scrolls sideways" : "Table, scrolls sideways");
            }
        }
    };
    window.addEventListener("load", reachable);
    window.addEventListener("resize", reachable);

    // mdBook's label for its table of contents is a button to those who can't see it.
    const contents = document.getElementById("mdbook-sidebar-toggle");
    if (contents) {
        contents.setAttribute("role", "button");
        contents.tabIndex = 0;
        contents.addEventListener("keydown", (event) => {
            if (event.key === "Enter" || event.key === " ") {
                event.preventDefault();
                contents.click();
            }
        });
    }

    const unfold = () => document.querySelectorAll("main details").forEach((fold) => { fold.open = true; });
    window.addEventListener("beforeprint", unfold);
    if (location.pathname.endsWith("/print.html")) window.addEventListener("DOMContentLoaded", unfold);

    document.querySelectorAll("main input[type=checkbox]").forEach((box, index) => {
        const name = `ticked-${index}`;
        box.disabled = false;
        try {
            box.checked = localStorage.getItem(name) === "yes";
            box.addEventListener("change", () => localStorage.setItem(name, box.checked ? "yes" : "no"));
        } catch (_) {
            // A page without storage: the box can be ticked all the same.
        }
    });
})();
