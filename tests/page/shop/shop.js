// A page of its own for a node: @logux/client, bundled by esbuild. The address of the page says where the node is and who comes.
import { Client, log } from "@logux/client";

const { server, user, token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const client = new Client({ server, userId: user, token, subprotocol: 1, allowDangerousProtocol: true });
const undone = new Set();
const sold = [];

function show() {
  document.getElementById("log").textContent = sold
    .filter(([id]) => !undone.has(id))
    .map(([, by]) => `sold by ${by}`)
    .join(", ");
}

client.on("state", () => (document.getElementById("state").textContent = client.state));
client.type("stock/is", (action) => (document.getElementById("apples").textContent = `${action.count} apples`));
client.type("shop/sold", (action, meta) => {
  sold.push([meta.id, action.by]);
  show();
});
client.type("logux/undo", (action) => {
  undone.add(action.id);
  show();
});
client.node.catch((error) => (document.getElementById("error").textContent = error.message));
log(client); // shows all in the console of the browser, as many applications do
client.start();

// What a test does: each returns "ok", or why it was undone.
const sync = (action) => client.sync(action).then(() => "ok", (error) => error.message);
window.shop = {
  subscribe: (item) => sync({ type: "logux/subscribe", channel: `stock/${item}` }),
  sell: (item) => sync({ type: "shop/sold", item, by: user }),
  undo: (index) => sync({ type: "logux/undo", id: sold[index][0], reason: "mistake", action: { type: "shop/sold" } }),
};
