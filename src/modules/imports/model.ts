import { t } from 'elysia'

export const ImportQuery = t.Object({
  dry_run: t.Optional(t.BooleanString({ description: 'Say what would be imported, and import nothing' })),
})

/** Whatever it is, it is read piece by piece behind the door, and the converters look at it themselves. */
export const ImportDocument = t.Unknown({
  description:
    'A JSON document, or with `Content-Type: application/x-ndjson` one on each line: our own export, the conversations.json of ChatGPT or Claude, an export of Open WebUI or LibreChat, an assistant-ui repository, or OpenAI messages',
  examples: [
    {
      title: 'Tea',
      messages: [
        { role: 'user', content: 'What is tea?' },
        { role: 'assistant', content: 'A drink made of leaves.' },
      ],
    },
  ],
})

export const importExample = {
  imported: 1,
  skipped: 0,
  dry_run: false,
  messages: 2,
  skipped_because: {},
  repairs: { missing_parents: 1 },
  broken: null,
  conversations: [
    {
      id: '0199c0de-0000-8000-8000-000000000001',
      title: 'Tea',
      messages: 2,
      repairs: { missing_parents: 1 },
    },
  ],
  omitted: 0,
}
