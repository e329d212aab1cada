// What scripts for Node.js begin with. Arguments: the URL of the hub, a token or nothing, and
// matchers as NAME=VALUE.

const [hub, token, ...matchers] = process.argv.slice(1);
const url = new URL(hub);
for (const matcher of matchers) {
    const [name, ...value] = matcher.split("=");
    url.searchParams.append(name, value.join("="));
}
const authorization = token ? { Authorization: `Bearer ${token}` } : {};

/// One line of JSON for the test that listens.
const tell = (...what) => console.log(JSON.stringify(what));
