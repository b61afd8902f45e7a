import { setTimeout as sleep } from 'node:timers/promises'
import { demoEmbeddings } from './embeddings'
import type { ModelFacts } from './facts'
import type { ChatMessage, ChatRequest, Provider } from './port'

export const DEMO_MODEL = 'demo/eliza'

const FREE: ModelFacts = {
  displayName: 'ELIZA (demo)',
  capabilities: [],
  prices: { input: 0n, output: 0n },
  priceSource: 'demo',
}

/** Milliseconds between two words, about as fast as a person reads. */
const PACE = 15

/**
 * A model that needs no network: it answers from a script, after Weizenbaum's ELIZA (CACM 9(1), 1966), so that the
 * server can be tried before any provider is configured. It costs nothing and says what it is.
 */
export function demoModel({ pace = PACE } = {}): Provider {
  return {
    name: 'demo',
    listsAll: true,
    personalKeys: false,
    cost: () => 0n,
    async models() {
      return [{ id: DEMO_MODEL, ownedBy: 'demo', created: 0, facts: FREE }]
    },
    embed: async (request) => demoEmbeddings(request),
    async *stream(request, signal) {
      signal.throwIfAborted()
      const words = reply(request).match(/\s*\S+/g) ?? []
      const limit = Number(
        request.params.max_completion_tokens ?? request.params.max_tokens ?? Number.POSITIVE_INFINITY,
      )
      const said = words.slice(0, limit)
      for (const word of said) {
        await sleep(pace, undefined, { signal })
        yield word
      }
      const prompt = request.messages.reduce((sum, message) => sum + countWords(textOf(message)), 0)
      yield {
        type: 'finish',
        index: 0,
        reason: said.length < words.length ? 'length' : 'stop',
      }
      yield {
        type: 'usage',
        usage: {
          prompt_tokens: prompt,
          completion_tokens: said.length,
          total_tokens: prompt + said.length,
        },
      }
    },
  }
}

const countWords = (text: string) => text.match(/\S+/g)?.length ?? 0

function textOf({ content }: ChatMessage): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part: unknown) => (isText(part) ? part.text : '')).join(' ')
}

const isText = (part: unknown): part is { text: string } =>
  typeof part === 'object' && part !== null && 'text' in part && typeof part.text === 'string'

/** Each rule: what to look for, and answers of which one is taken, in turn, as the conversation goes on. */
const RULES: [RegExp, ...string[]][] = [
  [
    /\bmy name is ([\p{L}'-]+)|\bcall me ([\p{L}'-]+)/iu,
    'Nice to meet you, $1. What would you like to talk about?',
    'Thank you, $1. What brings you here today?',
  ],
  [
    /\b(?:who|what) are you\b|\bare you (?:real|human|an? (?:ai|bot|machine|model))\b/iu,
    'I am demo/eliza, a small script that stands in until a real model is configured. Set LITELLM_URL or OPENAI_API_KEY and a real one will answer here.',
  ],
  [
    /^\s*(?:hello|hi|hey|good (?:morning|evening|afternoon))\b/iu,
    'Hello! I am demo/eliza, a scripted stand-in for a real model. What is on your mind?',
    'Hello again. Where were we?',
  ],
  [
    /\bi (?:feel|am feeling) (.+?)[.!?]*$/iu,
    'Why do you feel $1?',
    'How long have you felt $1?',
    'Do you often feel $1?',
  ],
  [/\bi (?:am|'m) (.+?)[.!?]*$/iu, 'How long have you been $1?', 'How do you feel about being $1?'],
  [/\bi (?:want|need) (.+?)[.!?]*$/iu, 'What would it mean to you to get $1?', 'Why do you need $1?'],
  [/\bi (?:think|believe) (.+?)[.!?]*$/iu, 'What makes you think $1?', 'Do you really think $1?'],
  [/\bi (?:can't|cannot) (.+?)[.!?]*$/iu, 'What keeps you from being able to $1?', 'Have you tried to $1?'],
  [/\bbecause\b(.+?)[.!?]*$/iu, 'Is that the real reason?', 'What other reasons might there be?'],
  [/\bmy (mother|father|brother|sister|wife|husband|friend|boss|family)\b/iu, 'Tell me more about your $1.'],
  [/\b(?:thanks|thank you)\b/iu, 'You are welcome. Is there anything else?'],
  [/\b(?:bye|goodbye)\b/iu, 'Goodbye. This conversation is saved; come back to it whenever you like.'],
  [
    /[\p{Script=Cyrillic}]{3,}/u,
    'Я demo/eliza, учебный собеседник без нейросети. Расскажите об этом подробнее.',
    'Понимаю. А что вы сами об этом думаете?',
  ],
  [/\?\s*$/u, 'That is a good question. What do you think?', 'What answer would help you most?', 'Why do you ask?'],
]

const FALLBACK = ['Please go on.', 'Tell me more about that.', 'How does that make you feel?', 'I see. And then?']

function reply({ messages }: ChatRequest): string {
  const mine = messages.filter((message) => message.role === 'user')
  const text = textOf(mine.at(-1) ?? { role: 'user' }).slice(-2000)
  const turn = mine.length - 1
  for (const [pattern, ...answers] of RULES) {
    const match = pattern.exec(text)
    if (!match) continue
    const rest = reflect((match[1] ?? match[2] ?? '').trim().slice(0, 200))
    return (answers[turn % answers.length] ?? '').replaceAll('$1', () => rest)
  }
  const quote = text.trim().split(/\s+/).slice(0, 8).join(' ')
  return quote ? `You said "${quote}". ${FALLBACK[turn % FALLBACK.length]}` : 'I am listening.'
}

const REFLECTIONS: Record<string, string> = {
  i: 'you',
  me: 'you',
  my: 'your',
  mine: 'yours',
  am: 'are',
  "i'm": 'you are',
  myself: 'yourself',
  you: 'I',
  your: 'my',
  yours: 'mine',
  yourself: 'myself',
}

const reflect = (text: string) => text.replace(/[\p{L}']+/gu, (word) => REFLECTIONS[word.toLowerCase()] ?? word)
