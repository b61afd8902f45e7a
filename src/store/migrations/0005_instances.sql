ALTER TABLE "runs" ADD COLUMN "stop_requested_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "request" jsonb;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "continued" integer DEFAULT 0 NOT NULL;