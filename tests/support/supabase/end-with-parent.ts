/** Loaded before a program in Deno: ends it when the process that started it is gone. */
declare const Deno: { ppid: number; exit: (code: number) => never; unrefTimer: (id: number) => void }

const startedBy = Deno.ppid
const timer = setInterval(() => {
  if (Deno.ppid !== startedBy) Deno.exit(0)
}, 500)
// Deno runs the program only when nothing of this file is left to wait for.
Deno.unrefTimer(timer as unknown as number)

export {}
