// SPDX-License-Identifier: Apache-2.0
import { useEffect, useState } from "preact/hooks";
import {
  type Call, type Client, type Contact, type Invitation, type LocalState, RefusedError, type Storage,
} from "../lib";
import * as accounts from "./accounts";
import { CallView } from "./call_view";
import { useChange } from "./hooks";
import { Icon, Mark } from "./icons";
import { IncomingDialog } from "./incoming_dialog";
import { AcceptInvitationDialog, InviteDialog, RemoveDialog } from "./invitations";
import { PastCalls } from "./past_calls";
import { People } from "./people";
import { SettingsDialog } from "./settings";
import { SignIn } from "./sign_in";
import { callEnd, duration } from "./text";

export interface Opened {
  storage: Storage;
  client: Client | null; // who was signed in last
  invitation: Invitation | null; // of the link that opened the page
  linked: LocalState | null;
  error: string;
}

export function App({ opened }: { opened: Opened }) {
  const { storage } = opened;
  const [client, setClient] = useState(opened.client);
  const [invitation, setInvitation] = useState(opened.invitation);
  const [linked, setLinked] = useState(opened.linked);
  const [said, say] = useState(opened.error);
  const enter = async (identity: string, development: boolean) => {
    setClient(await accounts.signIn(storage, identity, development, linked));
    setLinked(null);
  };
  const enterByName = async (account: string) => {
    const identity = await accounts.developmentIdentity(account);
    if (!identity) throw new Error("This server asks for an identity from your operator.");
    await enter(identity, true);
  };
  useEffect(() => {
    if (!said) return;
    const timer = setTimeout(() => say(""), 6000);
    return () => clearTimeout(timer);
  }, [said]);
  const leave = async () => {
    await accounts.signOut(storage, client!);
    setClient(null);
  };
  return (
    <>
      {!client || linked ? (
        <SignIn linked={linked} invitedBy={invitation?.account ?? null} onName={enterByName} onIdentity={(jwt) => enter(jwt, false)} />
      ) : (
        <Home
          client={client} invitation={invitation} say={say} onSignOut={() => void leave()}
          onInvitationDone={() => setInvitation(null)}
        />
      )}
      <div class="toasts" role="status" aria-live="polite">{said && <p class="toast">{said}</p>}</div>
    </>
  );
}

type Shown =
  | { dialog: "invite"; to: string } | { dialog: "settings" } | { dialog: "remove"; contact: Contact } | null;

interface HomeProps {
  client: Client;
  invitation: Invitation | null;
  say: (text: string) => void;
  onSignOut: () => void;
  onInvitationDone: () => void;
}

function Home({ client, invitation, say, onSignOut, onInvitationDone }: HomeProps) {
  useChange(client as never);
  const [shown, show] = useState<Shown>(null);
  const [tab, setTab] = useState<"people" | "calls">("people");
  useEffect(() => client.on("saveFailed", () => say("This browser couldn't save. What you do now may be lost.")), [client]);
  useEffect(() => sayEnds(client, say), [client]);
  const act = (done: string, run: () => Promise<void>) => {
    run().then(() => say(done), (error: Error) => say(words(error)));
  };
  const call = (account: string, video: boolean) => {
    client.call(account, video).catch((error: Error) => say(words(error)));
  };
  const current = [...client.calls].find((one) => one.state !== "ringing");
  const incoming = [...client.calls].find((one) => one.state === "ringing");
  return (
    <>
      {current ? <CallView key={current.id} call={current} onError={say} /> : (
        <div class="home">
          <header class="bar">
            <div class="brand"><Mark /><h1>Sotto</h1></div>
            <Connection client={client} />
            <button type="button" class="round quiet" aria-label="Settings" title="Settings" onClick={() => show({ dialog: "settings" })}><Icon name="settings" /></button>
          </header>
          <Trouble client={client} act={act} />
          <nav class="tabs" aria-label="Views">
            <button type="button" aria-pressed={tab === "people"} onClick={() => setTab("people")}>People</button>
            <button type="button" aria-pressed={tab === "calls"} onClick={() => setTab("calls")}>Calls</button>
          </nav>
          <main class={`columns show-${tab}`}>
            <People client={client} onCall={call} onInvite={(to) => show({ dialog: "invite", to })} onRemove={(contact) => show({ dialog: "remove", contact })} />
            <PastCalls
              client={client} onCall={call} onAllow={(to) => show({ dialog: "invite", to })}
              onBlock={(account) => act(`${account} is blocked.`, () => client.block(account))}
            />
          </main>
        </div>
      )}
      {shown?.dialog === "invite" && <InviteDialog client={client} to={shown.to} onClose={() => show(null)} />}
      {shown?.dialog === "remove" && <RemoveDialog client={client} contact={shown.contact} act={act} onClose={() => show(null)} />}
      {shown?.dialog === "settings" && <SettingsDialog client={client} act={act} onSignOut={onSignOut} onClose={() => show(null)} />}
      {invitation && !current && (
        <AcceptInvitationDialog
          client={client} invitation={invitation} onClose={onInvitationDone}
          onDone={(text) => {
            onInvitationDone();
            say(text);
          }}
        />
      )}
      {incoming && <IncomingDialog key={incoming.id} call={incoming} onAnswer={(video) => void client.accept(incoming, video)} />}
    </>
  );
}

function Connection({ client }: { client: Client }) {
  const online = client.connection === "online";
  return (
    <p class={`connection ${online ? "" : "away"}`} role="status">
      <span class="dot" aria-hidden="true" />
      <span class="account">{client.account}</span>
      {!online && <span>{client.connection === "ended" ? "offline" : "connecting…"}</span>}
    </p>
  );
}

function Trouble({ client, act }: { client: Client; act: (done: string, run: () => Promise<void>) => void }) {
  const again = async () => {
    const identity = await accounts.developmentIdentity(client.account);
    if (!identity) throw new Error("Sign out, and sign in with a new identity.");
    client.signInAgain(identity);
  };
  const troubles = {
    elsewhere: ["Sotto is open in another window.", "Use it here", () => location.reload()],
    removed: ["Another device of yours removed this one.", "Connect again", () => client.start()],
    blocked: ["The operator has blocked this account.", "Try again", () => client.start()],
    identity: ["Your identity has expired.", "Sign in again", () => act("", again)],
    protocol: ["This page is too old for the server.", "Reload", () => location.reload()],
    closed: ["The server has closed your session.", "Connect again", () => client.start()],
  } as const;
  if (client.sessionEnd) {
    const [text, action, run] = troubles[client.sessionEnd];
    return <div class="trouble" role="alert"><p>{text}</p><button type="button" onClick={run}>{action}</button></div>;
  }
  if (!client.keysElsewhere) return null;
  return (
    <div class="trouble" role="alert">
      <p>This device isn't one of {client.account}'s yet. Open “Another device” in the settings of one that is, and scan the code. If there is none, start over: your contacts will need new invitations.</p>
      <button type="button" onClick={() => act("This is your first device now.", () => client.startOver())}>Start over</button>
    </div>
  );
}

// Ends of calls, in words.
function sayEnds(client: Client, say: (text: string) => void): () => void {
  const watched = new Set<Call>();
  return client.on("change", () => {
    for (const call of client.calls) {
      if (watched.has(call)) continue;
      watched.add(call);
      const end = call.on("change", () => {
        if (call.state !== "ended") return;
        end();
        watched.delete(call);
        const lasted = call.connectedAtS !== null ? ` ${duration(call.seconds)}` : "";
        say(`${callEnd(call.end!, call.endText)}${lasted}`);
      });
    }
  });
}

const words = (error: Error): string =>
  error instanceof RefusedError ? error.message : error.message || "That didn't work.";
