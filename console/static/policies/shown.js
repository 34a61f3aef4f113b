// Colours for texts of policies that are only shown.

import { coloured } from "./editor.js";

for (const shown of document.querySelectorAll("[data-yaml]")) coloured(shown);
