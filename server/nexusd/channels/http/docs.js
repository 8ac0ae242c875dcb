"use strict";
for (const form of document.querySelectorAll("form")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.querySelector("output");
    const headers = { "Content-Type": "application/json" };
    if (form.elements.dry.checked) headers["Prefer"] = "tx=rollback";
    output.className = "";
    output.textContent = "…";
    try {
      const answer = await fetch(form.getAttribute("action"), { method: "POST", headers, body: form.elements.body.value });
      const text = await answer.text();
      let shown = text;
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* shown as it came */ }
      output.className = answer.ok ? "good" : "bad";
      output.textContent = `${answer.status}\n${shown}`;
    } catch (error) {
      output.className = "bad";
      output.textContent = String(error);
    }
  });
}
