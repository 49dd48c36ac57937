"use strict";
(function () {
  const table = document.getElementById("images");
  const body = table.tBodies[0];
  const state = document.getElementById("state");
  const reviewer = document.getElementById("reviewer");
  const times = new Map();
  let unsaved = false;

  function rows() {
    return Array.from(body.rows);
  }

  function choice(row) {
    const chosen = row.querySelector("input[type=radio]:checked");
    return chosen ? chosen.value : "";
  }

  function reason(row) {
    const field = row.querySelector("fieldset input[type=text]");
    return field ? field.value.trim() : "";
  }

  function tell(text) {
    state.textContent = text;
  }

  function count() {
    const made = rows().map(choice);
    const accepted = made.filter((one) => one === "accept").length;
    const rejected = made.filter((one) => one === "reject").length;
    const open = rows().filter((row) => row.dataset.sha256 && !choice(row)).length;
    tell(accepted + " accepted, " + rejected + " rejected, " + open + " not decided.");
  }

  function decide(row, value) {
    const radio = row.querySelector('input[type=radio][value="' + value + '"]');
    if (!radio) {
      tell("This image was withheld by a gate: it cannot be accepted, and need not be rejected.");
      return false;
    }
    radio.checked = true;
    changed(row);
    return true;
  }

  function changed(row) {
    row.dataset.decision = choice(row);
    times.set(row.id, new Date().toISOString());
    unsaved = true;
    count();
  }

  body.addEventListener("change", function (event) {
    changed(event.target.closest("tr"));
  });

  body.addEventListener("keydown", function (event) {
    const row = event.target.closest("tr");
    const isText = event.target.matches("input[type=text]");
    if (isText && event.key === "Enter") {
      row.focus();
      return;
    }
    if (isText || event.ctrlKey || event.altKey || event.metaKey) {
      return;
    }
    if (event.key === "j" && row.nextElementSibling) {
      row.nextElementSibling.focus();
    } else if (event.key === "k" && row.previousElementSibling) {
      row.previousElementSibling.focus();
    } else if (event.key === "a") {
      decide(row, "accept");
    } else if (event.key === "r") {
      if (decide(row, "reject")) {
        row.querySelector("fieldset input[type=text]").focus();
        event.preventDefault();
      }
    } else if (event.key === "u") {
      decide(row, "");
    }
  });

  table.tHead.addEventListener("click", function (event) {
    const button = event.target.closest("button");
    if (!button) {
      return;
    }
    const head = button.parentElement;
    const column = head.cellIndex;
    const isUp = head.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) {
      if (other.hasAttribute("aria-sort")) {
        other.setAttribute("aria-sort", "none");
      }
    }
    head.setAttribute("aria-sort", isUp ? "ascending" : "descending");
    const sorted = rows().sort(function (one, other) {
      const first = one.cells[column].dataset.key;
      const second = other.cells[column].dataset.key;
      if (first === "" || second === "") {
        return (first === "") - (second === "");
      }
      const numbers = [Number(first), Number(second)];
      const order = numbers.some(Number.isNaN)
        ? first.localeCompare(second)
        : numbers[0] - numbers[1];
      return isUp ? order : -order;
    });
    for (const row of sorted) {
      body.append(row);
    }
    tell("Sorted by " + button.textContent + (isUp ? ", ascending." : ", descending."));
  });

  document.getElementById("export").addEventListener("click", function () {
    const decided = rows().filter((row) => choice(row));
    const silent = decided.find((row) => choice(row) === "reject" && reason(row).length < 3);
    if (!reviewer.value.trim()) {
      tell("Nothing is saved: say who reviewed.");
      reviewer.focus();
      return;
    }
    if (silent) {
      tell("Nothing is saved: a rejected image has no reason.");
      silent.querySelector("fieldset input[type=text]").focus();
      return;
    }
    if (!decided.length) {
      tell("Nothing is saved: nothing is decided.");
      return;
    }
    const file = {
      format: document.body.dataset.format,
      version: Number(document.body.dataset.version),
      reviewer: reviewer.value.trim(),
      saved_at: new Date().toISOString(),
      decisions: decided.map((row) => ({
        image: row.dataset.image,
        sha256: row.dataset.sha256,
        decision: choice(row),
        reason: reason(row),
        decided_at: times.get(row.id),
      })),
    };
    const text = JSON.stringify(file, null, 1) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "decisions.json";
    link.click();
    URL.revokeObjectURL(link.href);
    unsaved = false;
    tell(decided.length + " decisions are saved in decisions.json.");
  });

  window.addEventListener("beforeunload", function (event) {
    if (unsaved) {
      event.preventDefault();
    }
  });

  count();
})();
