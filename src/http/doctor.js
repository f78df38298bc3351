// Looks at the server as a browser's client does, a sentence each.
const list = document.querySelector("#findings");
const form = document.querySelector("form");
form.token.value = sessionStorage.getItem("klatsch.token") ?? "";

/** Fails after so many seconds. */
const within = (seconds, promise) =>
  Promise.race([promise, new Promise((_, reject) => setTimeout(() => reject(new Error("nothing answers")), seconds * 1000))]);

async function look(part, works, advice, check) {
  const line = list.appendChild(document.createElement("li"));
  line.dataset.part = part;
  line.textContent = `${part} …`;
  try {
    await within(15, check());
    line.dataset.works = "true";
    line.textContent = works;
  } catch (error) {
    line.dataset.works = "false";
    line.textContent = `${part} does not work: ${error.message}. ${advice}`;
  }
}

async function polling() {
  const answer = await fetch("/socket.io/?EIO=4&transport=polling");
  if (!(await answer.text()).startsWith("0{")) throw new Error(`what answers is no server of ours (${answer.status})`);
}

const websocket = () =>
  new Promise((resolve, reject) => {
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`);
    socket.onmessage = () => (socket.close(), resolve());
    socket.onerror = () => reject(new Error("the connection is refused"));
  });

/** Waits for a candidate of the server's, or for what the browser says against it. */
function stun(servers) {
  const connection = new RTCPeerConnection({ iceServers: servers });
  connection.createDataChannel("doctor");
  return new Promise((resolve, reject) => {
    connection.onicecandidate = ({ candidate }) => {
      // Where the browser sits beside the server, its own address is the reflexive one.
      if (candidate?.type === "srflx") resolve();
    };
    connection.onicecandidateerror = ({ errorText }) => reject(new Error(errorText || "nothing answers"));
    connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
    connection.setLocalDescription();
  }).finally(() => connection.close());
}

/** A data channel between two connections of this page, both through the relay. */
async function relay(server) {
  const [near, far] = [0, 1].map(() => new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" }));
  try {
    await new Promise((resolve, reject) => {
      near.onicecandidate = ({ candidate }) => candidate && far.addIceCandidate(candidate);
      far.onicecandidate = ({ candidate }) => candidate && near.addIceCandidate(candidate);
      near.onicecandidateerror = ({ errorCode, errorText }) => reject(new Error(`${errorCode} ${errorText}`));
      const channel = near.createDataChannel("doctor");
      channel.onopen = () => channel.send("is anybody there?");
      far.ondatachannel = ({ channel }) => (channel.onmessage = resolve);
      (async () => {
        await near.setLocalDescription();
        await far.setRemoteDescription(near.localDescription);
        await far.setLocalDescription();
        await near.setRemoteDescription(far.localDescription);
      })().catch(reject);
    });
  } finally {
    near.close();
    far.close();
  }
}

form.onsubmit = async (event) => {
  event.preventDefault();
  list.replaceChildren();
  await look("polling", "This browser reaches the server by polling.", "A proxy must pass /socket.io/ on.", polling);
  await look("websocket", "This browser reaches the server by WebSocket.", "Let the proxy pass the headers Upgrade and Connection on.", websocket);
  const authorization = form.token.value.trim();
  let iceServers;
  if (authorization) {
    await look("token", "The token is good.", "Log in again and take a fresh one; STUN and TURN were not looked at.", async () => {
      const answer = await fetch("/webrtc/ice-servers", { headers: { authorization } });
      const told = await answer.json();
      if (!answer.ok) throw new Error(told.message);
      iceServers = told.iceServers;
    });
  }
  if (iceServers) {
    const turn = iceServers.find((server) => server.credential);
    const stuns = iceServers.filter((server) => !server.credential);
    await look("stun", "STUN answers.", "Open the port of turn.listen for UDP, and set turn.public_host.", () => stun(stuns));
    const open = (way) => `Open the port of turn.listen for ${way}, and set turn.public_host.`;
    const ways = [
      ["udp", "UDP", open("UDP"), (url) => url.endsWith("transport=udp")],
      ["tcp", "TCP", open("TCP"), (url) => url.startsWith("turn:") && url.endsWith("transport=tcp")],
    ];
    const secure = (url) => url.startsWith("turns:");
    if (turn?.urls.some(secure)) ways.push(["tls", "TLS", "The certificate must name the host of public_url.", secure]);
    for (const [part, way, advice, fits] of ways) {
      await look(`turn_${part}`, `TURN over ${way} relays.`, advice, async () => {
        if (!turn) throw new Error("the server names none (turn.relay, turn.listen)");
        await relay({ ...turn, urls: turn.urls.filter(fits) });
      });
    }
  }
  document.body.dataset.done = "true";
};
