// `event-source-polyfill`, with a token as its README shows.
import polyfill from "event-source-polyfill";

const source = new polyfill.EventSourcePolyfill(url, { headers: authorization });
source.onopen = () => tell("open");
source.onerror = error => tell("error", error.status ?? null, source.readyState);
for (const type of ["message", "größe"])
    source.addEventListener(type, event => tell("event", event.lastEventId, type, event.data));
