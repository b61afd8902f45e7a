import { FormatRegistry } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { isUuid } from '../lib/ids'

// Elysia's own idea of a UUID has room for `urn:uuid:` in front, and no database takes that.
FormatRegistry.Set('uuid', isUuid)

/** Ids may be written in capitals. In paths they become what the database says, because what runs now is found by comparing. */
export const ids = () =>
  new Elysia({ name: 'ids' }).onTransform({ as: 'global' }, function inSmallLetters({ params }) {
    const named = params as Record<string, string> | undefined
    for (const [name, value] of Object.entries(named ?? {})) {
      if (named && isUuid(value)) named[name] = value.toLowerCase()
    }
  })
