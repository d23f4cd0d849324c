package host

import (
	"context"
	"io"
	"sync"

	"github.com/ovn-org/libovsdb/ovsdb"
)

// An Effect is one call of a writing half, named before it happens.
type Effect struct {
	Door   string `json:"door"`   // "files", "kernel", "commands", "units", "links", "ovsdb", "libvirt"
	Verb   string `json:"verb"`   // "write", "remove", "run", "restart", "transact", …
	Object string `json:"object"` // the path, unit, link, program or database
}

// String is the effect in a line of a log: "files.write /etc/hosts".
func (e Effect) String() string { return e.Door + "." + e.Verb + " " + e.Object }

// Observe returns h with before called in front of every effect. An error of
// before is returned instead of the effect, which then does not happen. The
// memo is forgotten at every effect.
func Observe(h Host, before func(ctx context.Context, e Effect) error) Host {
	return Surround(h, func(ctx context.Context, e Effect, act func() error) error {
		if err := before(ctx, e); err != nil {
			return err
		}
		return act()
	})
}

// Surround returns h with around called in place of every effect, which
// happens when around calls act. Who must know when an effect has ended (to
// stop between two of them, say) stands here; for the rest [Observe] does.
func Surround(h Host, around func(ctx context.Context, e Effect, act func() error) error) Host {
	o := observer{surround: around, memo: h.Memo}
	h.Files = observedFiles{h.Files, o}
	h.Kernel = observedKernel{h.Kernel, o}
	h.Commands = observedCommands{h.Commands, o}
	h.Units = observedUnits{h.Units, o}
	h.Links = observedLinks{h.Links, o}
	h.OVSDB = observedOVSDB{h.OVSDB, o}
	h.Libvirt = observedLibvirt{h.Libvirt, o}
	return h
}

type observer struct {
	surround func(ctx context.Context, e Effect, act func() error) error
	memo     *Memo
}

// around runs act behind the observer. The memo is forgotten on both sides: a
// reader beside us may have filled it while the effect was under way.
func (o observer) around(ctx context.Context, door, verb, object string, act func() error) error {
	return o.surround(ctx, Effect{Door: door, Verb: verb, Object: object}, func() error {
		o.memo.Forget()
		defer o.memo.Forget()
		return act()
	})
}

type observedFiles struct {
	Files
	o observer
}

func (f observedFiles) Write(ctx context.Context, path string, content []byte, a Attributes) error {
	return f.o.around(ctx, "files", "write", path, func() error { return f.Files.Write(ctx, path, content, a) })
}

func (f observedFiles) Receive(ctx context.Context, path string, from io.Reader, size int64, sha256 string, a Attributes) error {
	return f.o.around(ctx, "files", "receive", path, func() error { return f.Files.Receive(ctx, path, from, size, sha256, a) })
}

func (f observedFiles) MakeDirectory(ctx context.Context, path string, a Attributes) error {
	return f.o.around(ctx, "files", "mkdir", path, func() error { return f.Files.MakeDirectory(ctx, path, a) })
}

func (f observedFiles) Link(ctx context.Context, path, target string) error {
	return f.o.around(ctx, "files", "link", path, func() error { return f.Files.Link(ctx, path, target) })
}

func (f observedFiles) SetAttributes(ctx context.Context, path string, a Attributes) error {
	return f.o.around(ctx, "files", "attributes", path, func() error { return f.Files.SetAttributes(ctx, path, a) })
}

func (f observedFiles) Remove(ctx context.Context, path string) error {
	return f.o.around(ctx, "files", "remove", path, func() error { return f.Files.Remove(ctx, path) })
}

type observedKernel struct {
	Kernel
	o observer
}

func (k observedKernel) Set(ctx context.Context, path, value string) error {
	return k.o.around(ctx, "kernel", "set", path, func() error { return k.Kernel.Set(ctx, path, value) })
}

type observedCommands struct {
	Commands
	o observer
}

func (c observedCommands) Run(ctx context.Context, cmd Command) (r Result, err error) {
	object := ""
	if len(cmd.Argv) > 0 {
		object = cmd.Argv[0]
	}
	err = c.o.around(ctx, "commands", "run", object, func() error {
		r, err = c.Commands.Run(ctx, cmd)
		return err
	})
	return r, err
}

type observedUnits struct {
	Units
	o observer
}

func (u observedUnits) Do(ctx context.Context, verb UnitVerb, unit string) error {
	return u.o.around(ctx, "units", string(verb), unit, func() error { return u.Units.Do(ctx, verb, unit) })
}

type observedLinks struct {
	Links
	o observer
}

func (l observedLinks) AddNamespace(ctx context.Context, name string) error {
	return l.o.around(ctx, "links", "add-namespace", name, func() error { return l.Links.AddNamespace(ctx, name) })
}

func (l observedLinks) RemoveNamespace(ctx context.Context, name string) error {
	return l.o.around(ctx, "links", "remove-namespace", name, func() error { return l.Links.RemoveNamespace(ctx, name) })
}

func (l observedLinks) AddVeth(ctx context.Context, name, peer string) error {
	return l.o.around(ctx, "links", "add-veth", name, func() error { return l.Links.AddVeth(ctx, name, peer) })
}

func (l observedLinks) AddLink(ctx context.Context, n NewLink) error {
	return l.o.around(ctx, "links", "add-"+n.Kind, n.Name, func() error { return l.Links.AddLink(ctx, n) })
}

func (l observedLinks) RemoveLink(ctx context.Context, namespace, name string) error {
	return l.o.around(ctx, "links", "remove", name, func() error { return l.Links.RemoveLink(ctx, namespace, name) })
}

func (l observedLinks) Set(ctx context.Context, namespace, name string, c LinkChange) error {
	return l.o.around(ctx, "links", "set", name, func() error { return l.Links.Set(ctx, namespace, name, c) })
}

type observedOVSDB struct {
	OVSDB
	o observer
}

func (d observedOVSDB) Transact(ctx context.Context, db Database, ops ...ovsdb.Operation) (r []ovsdb.OperationResult, err error) {
	err = d.o.around(ctx, "ovsdb", "transact", string(db), func() error {
		r, err = d.OVSDB.Transact(ctx, db, ops...)
		return err
	})
	return r, err
}

type observedLibvirt struct {
	Libvirt
	o observer
}

func (l observedLibvirt) Define(ctx context.Context, object VirtualObject, name, xml string) error {
	return l.o.around(ctx, "libvirt", "define-"+string(object), name, func() error { return l.Libvirt.Define(ctx, object, name, xml) })
}

func (l observedLibvirt) Order(ctx context.Context, verb VirtualVerb, object VirtualObject, name string) error {
	return l.o.around(ctx, "libvirt", string(verb)+"-"+string(object), name, func() error { return l.Libvirt.Order(ctx, verb, object, name) })
}

func (l observedLibvirt) Device(ctx context.Context, verb DeviceVerb, domain, xml string) error {
	return l.o.around(ctx, "libvirt", string(verb)+"-device", domain, func() error { return l.Libvirt.Device(ctx, verb, domain, xml) })
}

// A Memo remembers answers until it is told to forget. A nil Memo remembers
// nothing. It may be used from several goroutines.
type Memo struct {
	mu      sync.Mutex
	answers map[string]any
}

// Forget drops all answers.
func (m *Memo) Forget() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers = nil
}

// Recall returns what ask returned for key the last time, or asks now. An
// error is not remembered.
func Recall[T any](m *Memo, key string, ask func() (T, error)) (T, error) {
	if m == nil {
		return ask()
	}
	m.mu.Lock()
	known, ok := m.answers[key].(T)
	m.mu.Unlock()
	if ok {
		return known, nil
	}
	a, err := ask()
	if err != nil {
		return a, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.answers == nil {
		m.answers = map[string]any{}
	}
	m.answers[key] = a
	return a, nil
}
