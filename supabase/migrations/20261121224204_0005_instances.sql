-- Generated from src/store/migrations by `bun run supabase:migrations`. Do not edit.

ALTER TABLE "runs" ADD COLUMN "stop_requested_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "request" jsonb;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "continued" integer DEFAULT 0 NOT NULL;


create schema if not exists drizzle;
create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint);
insert into drizzle.__drizzle_migrations (hash, created_at) values ('86a24fa2c57c0dc750ecd99fadf3ccf98fce3dd56606394c1a429ca4e05a146f', 1795300924193);
