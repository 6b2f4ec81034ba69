// Sorts a table by a column when its head is clicked; the page works without it.
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const of = (row) => row.cells[column] && row.cells[column].dataset.value;
      for (const body of table.tBodies) {
        const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
        rows.sort((a, b) => {
          const x = of(a), y = of(b);
          if (x !== undefined && y !== undefined) return up ? x - y : y - x;
          if (x !== undefined || y !== undefined) return x === undefined ? 1 : -1;
          const order = a.cells[column].textContent.localeCompare(b.cells[column].textContent);
          return up ? order : -order;
        });
        body.append(...rows);
      }
    });
  });
}
