// Swaps the changing part of the page for a fresh one every few seconds while somebody looks at it.
"use strict";
const period = 3000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");
let lostSince = null;

async function refresh() {
  if (document.hidden) {
    return;
  }
  try {
    const address = "/go/add-on/business-continuity/admin/dashboard/fragment";
    const answer = await fetch(address, { headers: { Accept: "text/x-fragment" }, redirect: "error" });
    if (answer.status === 401) {
      location.assign("/go/add-on/business-continuity/admin/login");
      return;
    }
    if (!answer.ok) {
      throw new Error("status " + answer.status);
    }
    live.innerHTML = await answer.text();
    lostSince = null;
    lost.hidden = true;
  } catch (error) {
    lostSince = lostSince || new Date();
    lost.textContent = "This server has not answered since " + lostSince.toLocaleTimeString() + ". What you see is from before.";
    lost.hidden = false;
  }
}

setInterval(refresh, period);
document.addEventListener("visibilitychange", refresh);
