// Waiting until the service stands where the ledger says.

import { askJson } from "../console.js";

/** Wait until this service stands where the ledger says, or says why it does not. Ten seconds at most. */
export async function followed(name, state) {
  const wanted = JSON.stringify([state.in_force?.revision ?? null, state.canary?.revision ?? null, state.canary?.share ?? 0, state.waiting.length]);
  for (let tries = 0; tries < 40; tries += 1) {
    const now = await askJson("GET", `/v1/policies/${name}`).catch(() => null);
    // What a file brought stays in force where the ledger says nothing.
    const live = state.in_force || state.retired ? now?.in_force?.revision ?? null : null;
    if (now?.trouble) return false;
    if (now && JSON.stringify([live, now.canary?.revision ?? null, now.canary?.share ?? 0, now.waiting]) === wanted) return true;
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
  return false;
}
