/** Whose tools: a server can be for some tenants only. */
export interface ToolOwner {
  tenantId: string
  userId: string
}

/** A tool that this server can call for a model. */
export interface Tool {
  /** What a model is told of it, in the words of the Chat Completions API. Its name is `server__tool`, at most 64 characters. */
  definition: {
    type: 'function'
    function: { name: string; description?: string; parameters: Record<string, unknown> }
  }
  /** Whether a person has to agree to every call. */
  approve: boolean
  /** Milliseconds a call may take. */
  timeoutMs: number
}

export interface ToolCalled {
  /** The name of the definition. */
  name: string
  arguments: Record<string, unknown>
}

/** What a call gave: data for the model, and nothing that we obey. */
export interface ToolResult {
  content: string
  isError: boolean
}

/** The tools that this server has, wherever they live. */
export interface ToolBox {
  /** What this person's models may be offered now; tools of servers that are away are not in it. Never throws. */
  list(owner: ToolOwner): Promise<Tool[]>
  /**
   * Calls one. A tool that fails, is unknown or is away is a result with `isError`: the model shall know.
   * @throws only when `signal` aborts, with its reason.
   */
  call(owner: ToolOwner, call: ToolCalled, signal: AbortSignal): Promise<ToolResult>
  close(): Promise<void>
}

/** How far an answer may go with tools. */
export interface ToolLimits {
  /** Times a model is asked for one answer. */
  steps: number
  /** Bytes of a result that the model gets; the rest is cut off. */
  resultBytes: number
}
