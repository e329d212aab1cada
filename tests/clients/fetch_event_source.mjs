// `@microsoft/fetch-event-source`, with errors handled as its README shows.
import { EventStreamContentType, fetchEventSource } from "@microsoft/fetch-event-source";

// It is made for pages, and looks for what belongs to them.
globalThis.window = globalThis;
globalThis.document = { removeEventListener() {} };

class FatalError extends Error {}
class RetriableError extends Error {}

fetchEventSource(url, {
    headers: authorization,
    openWhenHidden: true,
    async onopen(response) {
        const type = response.headers.get("content-type");
        if (response.ok && type === EventStreamContentType) return tell("open");
        const fatal = response.status >= 400 && response.status < 500 && response.status !== 429;
        tell("error", response.status, fatal ? "fatal" : "retriable");
        throw fatal ? new FatalError() : new RetriableError();
    },
    onmessage: ({ id, event, data }) => tell("event", id, event || "message", data),
    onclose() {
        tell("closed");
        throw new RetriableError();
    },
    onerror(error) {
        if (error instanceof FatalError) throw error;
    },
}).catch(error => tell("ended", error instanceof FatalError));
