/* What the page knows: filled by main.js, read by all. */
export const store = {
  deliveries: new Map(),
  state: {},
  live: false,
  selected: null,
  /* Which attempt a person chose, and which one to compare it with; null: the latest, and none. */
  attempt: null,
  other: null,
  detail: null,
};
