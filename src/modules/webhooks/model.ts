interface Facts {
  configured: boolean
  waiting: number
  oldest: Date | null
  lastDelivered: Date | null
  lastError: { at: Date; event_id: string; type: string; tries: number; message: string } | null
}

export const statusJson = ({ configured, waiting, oldest, lastDelivered, lastError }: Facts) => ({
  configured,
  waiting,
  oldest: oldest?.toISOString() ?? null,
  last_delivered_at: lastDelivered?.toISOString() ?? null,
  last_error: lastError && { ...lastError, at: lastError.at.toISOString() },
})

export const statusExample = {
  configured: true,
  waiting: 2,
  oldest: '2026-11-21T10:00:00.000Z',
  last_delivered_at: '2026-11-21T10:00:04.000Z',
  last_error: {
    at: '2026-11-21T10:00:05.000Z',
    event_id: '0199c0de-0000-8000-8000-000000000011',
    type: 'message.completed',
    tries: 1,
    message: 'The receiver answered HTTP 500',
  },
} satisfies ReturnType<typeof statusJson>
