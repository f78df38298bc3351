// One side of a pair, for every stack that has the browser's interface.
//
// In a page and in Node: the function is handed over as text, so it uses nothing from outside.
export const peers = (RTCPeerConnection) => {
  const all = new Map();

  /** Says hello over a channel once it is open, and hears the other's. */
  const talk = (peer, channel) => {
    let greeted = false;
    const greet = () => {
      if (!greeted) channel.send("hello");
      greeted = true;
    };
    channel.onmessage = ({ data }) => peer.hear(String(data));
    channel.onopen = greet;
    if (channel.readyState === "open") greet();
  };

  /** The description once all of its candidates are there. */
  const described = async ({ pc }) => {
    while (pc.iceGatheringState !== "complete") await new Promise((next) => setTimeout(next, 20));
    return pc.localDescription.sdp;
  };

  return {
    open(key, iceServers, offers) {
      const pc = new RTCPeerConnection({ iceServers, iceTransportPolicy: "relay" });
      const peer = { pc };
      peer.heard = new Promise((hear) => (peer.hear = hear));
      all.set(key, peer);
      if (offers) talk(peer, (peer.channel = pc.createDataChannel("talk")));
      else pc.ondatachannel = ({ channel }) => talk(peer, (peer.channel = channel));
    },
    async offer(key) {
      const peer = all.get(key);
      await peer.pc.setLocalDescription(await peer.pc.createOffer());
      return described(peer);
    },
    async answer(key, sdp) {
      const peer = all.get(key);
      await peer.pc.setRemoteDescription({ type: "offer", sdp });
      await peer.pc.setLocalDescription(await peer.pc.createAnswer());
      return described(peer);
    },
    accept: (key, sdp) => all.get(key).pc.setRemoteDescription({ type: "answer", sdp }),
    heard: (key) => all.get(key).heard,
    async close(key) {
      await all.get(key)?.pc.close();
      all.delete(key);
    },
  };
};
