(function () {
  'use strict';
  const byId = (id) => document.getElementById(id);
  const owner = byId('owner_username').value;
  const messages = byId('messages');
  if (!opponent_username) return;

  const socket = new WebSocket(
    base_ws_server_path + session_key + '/' + encodeURIComponent(opponent_username));
  const send = (type, more) => {
    if (socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify(Object.assign({ type, session_key }, more)));
    }
  };

  // A message of the other user is reported as read once it has been in view.
  const watcher = new IntersectionObserver((seen) => {
    for (const entry of seen) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      send('read_message', { username: opponent_username, message_id: Number(entry.target.dataset.id) });
    }
  }, { root: messages });
  const watch = (row) => {
    if (row.classList.contains('opponent') && row.classList.contains('msg-unread')) watcher.observe(row);
  };

  // Texts come escaped for pages that take them for HTML; this one does not.
  const unescaped = (text) =>
    text.replace(/&lt;/g, '<').replace(/&gt;/g, '>').replace(/&amp;/g, '&');
  const append = (packet) => {
    const row = document.createElement('div');
    row.className = 'row msg-unread' + (packet.sender_name === owner ? '' : ' opponent');
    row.dataset.id = packet.message_id;
    const line = document.createElement('p');
    const name = document.createElement('b');
    name.textContent = packet.sender_name;
    line.append(name, ' ' + unescaped(packet.message));
    row.append(line);
    messages.append(row);
    messages.scrollTop = messages.scrollHeight;
    watch(row);
  };

  const color = (name, online) => {
    const link = byId('user-' + name);
    if (!link) return;
    link.classList.toggle('btn-success', online);
    link.classList.toggle('btn-danger', !online);
  };
  const header = (online) => {
    byId('online-status').hidden = !online;
    byId('offline-status').hidden = online;
  };
  let fading;
  const hear = {
    'new-message': (packet) => {
      if (packet.sender_name === opponent_username || packet.sender_name === owner) {
        append(packet);
        return;
      }
      const link = byId('user-' + packet.sender_name);
      if (link) link.classList.add('flash');
    },
    'gone-online': (packet) => {
      packet.usernames.forEach((name) => color(name, true));
      header(packet.usernames.includes(opponent_username));
    },
    'gone-offline': (packet) => {
      color(packet.username, false);
      if (packet.username === opponent_username) header(false);
    },
    'opponent-typing': () => {
      byId('typing-text').hidden = false;
      clearTimeout(fading);
      fading = setTimeout(() => { byId('typing-text').hidden = true; }, 3000);
    },
    'opponent-read-message': (packet) => {
      if (packet.username !== opponent_username) return;
      const row = messages.querySelector('[data-id="' + packet.message_id + '"]');
      if (row) row.classList.replace('msg-unread', 'msg-read');
    },
  };

  socket.onopen = () => {
    send('online');
    send('check-online', { username: opponent_username });
    messages.querySelectorAll('.row').forEach(watch);
    messages.scrollTop = messages.scrollHeight;
  };
  socket.onmessage = (event) => {
    const packet = JSON.parse(event.data);
    if (hear[packet.type]) hear[packet.type](packet);
  };
  window.addEventListener('pagehide', () => {
    send('offline', { username: opponent_username });
    socket.close();
  });

  const input = byId('chat-message');
  const say = () => {
    if (!input.value) return;
    send('new-message', { username: opponent_username, message: input.value });
    input.value = '';
  };
  byId('btn-send-message').addEventListener('click', say);
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') say();
    else send('is-typing', { username: opponent_username, typing: true });
  });
}());
