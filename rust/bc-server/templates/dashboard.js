// Swaps the changing part of the page for a fresh one every few seconds while somebody looks at it.
"use strict";
const period = 3000;
const patience = 10000;
const live = document.getElementById("live");
const lost = document.getElementById("lost");
const said = document.getElementById("said");
let lostSince = null;
let waited = 0;
let asking = false;

// Fresh content would take away what somebody is marking to copy it, so it waits for them; half a minute at most.
function isBeingCopied() {
  const selection = document.getSelection();
  const marked = !selection.isCollapsed && live.contains(selection.anchorNode);
  waited = marked ? waited + 1 : 0;
  return marked && waited * period <= 30000;
}

function headline() {
  return live.querySelector(".severity").textContent + ": " + live.querySelector("h1").textContent;
}

async function refresh() {
  if (document.hidden || asking || isBeingCopied()) {
    return;
  }
  asking = true;
  try {
    const address = "/go/add-on/business-continuity/admin/dashboard/fragment";
    const answer = await fetch(address, {
      headers: { Accept: "text/x-fragment" },
      redirect: "error",
      // A server that hangs is as lost as one that is gone.
      signal: AbortSignal.timeout(patience),
    });
    if (answer.status === 401) {
      location.assign("/go/add-on/business-continuity/admin/login");
      return;
    }
    if (!answer.ok) {
      throw new Error("status " + answer.status);
    }
    const before = headline();
    live.innerHTML = await answer.text();
    document.title = live.querySelector("[data-title]").dataset.title;
    // Screen readers hear of another state once, and not of every refresh.
    if (headline() !== before) {
      said.textContent = headline();
    }
    lostSince = null;
    lost.hidden = true;
  } catch (error) {
    lostSince = lostSince || new Date();
    const text = "This server has not answered since " + lostSince.toLocaleTimeString() + ". What you see is from before.";
    if (lost.hidden || lost.textContent !== text) {
      lost.textContent = text;
      lost.hidden = false;
    }
    document.title = "NO ANSWER · GoCD Business Continuity";
  } finally {
    asking = false;
  }
}

setInterval(refresh, period);
document.addEventListener("visibilitychange", refresh);
