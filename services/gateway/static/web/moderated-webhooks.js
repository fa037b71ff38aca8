// The webhooks of a space for who moderates it: whose they are, what they want, and an end to those that should not be.
import { element } from './element.js';
import { ask } from './session.js';
import { spaceOf, stateOf } from './webhook-state.js';

export class ModeratedWebhooks {
  // `doing(button, work)` runs what a click asked for; `sure(question)` asks back.
  constructor(list, { doing, sure, ended }) {
    Object.assign(this, { list, doing, sure, ended });
  }

  async show(space) {
    this.clear();
    const { webhooks } = await ask('GET', `/api/webhooks?${new URLSearchParams({ space })}`).catch((error) => {
      throw error.status === 403 ? new Error('Only a space\'s owner and moderators see its webhooks.') : error;
    });
    const items = webhooks.map((webhook) => this.item(webhook));
    this.list.replaceChildren(...(items.length ? items : [element('li', { textContent: `Nobody has a webhook of ${space}.` })]));
  }

  clear() {
    this.list.replaceChildren();
  }

  item(webhook) {
    const end = element('button', { type: 'button', className: 'quiet danger', textContent: 'End it' });
    end.addEventListener('click', () => this.doing(end, () => this.end(webhook)));
    return element('li', {}, stateOf(webhook), element('b', { textContent: webhook.created_by }),
      ` to ${webhook.webhook_url}`,
      element('div', { className: 'faint', textContent: webhook.events.join(', ') }),
      element('div', { className: 'actions' }, end));
  }

  async end(webhook) {
    if (!await this.sure(`End the webhook of ${webhook.created_by}? They are told that you did.`)) return;
    await ask('DELETE', `/api/webhooks/${webhook.id}`, {});
    await this.show(spaceOf(webhook));
    await this.ended();
  }
}
