// `eventsource`, with a token as its README shows.
import { EventSource } from "eventsource";

const source = new EventSource(url, {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...authorization } }),
});
source.onopen = () => tell("open");
source.onerror = error => tell("error", error.code ?? null, source.readyState);
for (const type of ["message", "größe"])
    source.addEventListener(type, event => tell("event", event.lastEventId, type, event.data));
// Its timers alone keep no process running.
setInterval(() => {}, 60_000);
