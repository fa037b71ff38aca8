// What is shown of a webhook in words: its state, what keeps it from working, and the keys that sign.
import { element } from './element.js';

export const badge = (text, kind) => element('span', { className: `badge ${kind}`, textContent: text });

export const moment = (text) => (text ? new Date(text).toLocaleString() : '');

export const isOn = (webhook) => webhook.active || webhook.state === 'unverified';

export const stateOf = (webhook) => {
  if (webhook.state === 'unverified') return badge('unverified', 'bad');
  if (webhook.active) return webhook.failing_since ? badge('failing', 'bad') : badge('active', 'good');
  return webhook.paused ? badge('paused', '') : badge('disabled', 'bad');
};

export const spaceOf = (webhook) => `${webhook.space_type}:${webhook.space_id}`;

export const describe = (webhook) => {
  const parts = [stateOf(webhook)];
  if (webhook.disabled_reason) parts.push(`Disabled: ${webhook.disabled_reason} `);
  if (webhook.state === 'unverified') parts.push('Its URL has not said yet that it wants webhooks. ');
  if (webhook.failing_since) parts.push(`Fails since ${moment(webhook.failing_since)}. `);
  if (webhook.previous_secret_until && new Date(webhook.previous_secret_until) > new Date()) {
    parts.push(`Two secrets sign until ${moment(webhook.previous_secret_until)}.`);
  }
  return parts;
};

const code = (text) => element('code', { textContent: text });

// What to do where a ping was not answered; nothing for any other webhook.
export const whatToDo = (webhook) => {
  if (webhook.state !== 'unverified') return [];
  const next = webhook.ping_at ? `It is sent again at ${moment(webhook.ping_at)}, or now by "Send a ping".` : '';
  return [
    element('p', {}, 'Until it says yes, nothing is sent but a signed ', code('ping'), '. Have the URL answer it with a 2xx that has the ping\'s ',
      code('data.challenge'), ' in its body, or in a header ', code('X-DLUX-Challenge'), '. Who can set fixed headers only answers ',
      code('X-DLUX-Challenge: accept'), '.'),
    element('p', {}, webhook.ping_error ? `The last ping: ${webhook.ping_error} ` : 'No ping was answered yet. ', next),
    element('p', { className: 'faint', textContent: 'What happens meanwhile is not lost: afterwards "Send a time again" has it as missed.' }),
  ];
};

export const keyOf = (webhook) => {
  if (!webhook.public_key) return ['The secret alone signs (v1).'];
  return ['A key pair signs too (v1a). Its public key: ', code(webhook.public_key)];
};
