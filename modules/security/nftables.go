package security

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"weft/engine/host"
	"weft/engine/step"
)

const (
	nftDir  = "/etc/nftables.d"
	unitDir = "/etc/systemd/system"
)

// table is the state of a table of nftables that is weft's own, and of what loads it at
// boot.
type table struct {
	By    string     `json:"by" weft:"label"`
	Zone  string     `json:"zone" weft:"label"`
	Rules ruleset    `json:"rules,omitzero"`
	State step.State `json:"state,omitzero"`

	// Bare says that there was no directory for the file, Empty that there is one
	// with nothing in it.
	Bare  step.Attr[bool] `json:"bare,omitzero" weft:"found"`
	Empty bool            `json:"empty,omitzero" weft:"found"`
	// Links are those that the rules may cut; Shuts says that they may drop anything
	// at all.
	Links []string `json:"links,omitzero" weft:"found"`
	Shuts bool     `json:"shuts,omitzero" weft:"found"`
}

// ruleset is a table, in the kernel and as it is kept.
type ruleset struct {
	Now     step.Attr[string] `json:"now,omitzero"`
	File    step.Attr[string] `json:"file,omitzero"`
	Unit    step.Attr[string] `json:"unit,omitzero"`
	Enabled step.Attr[bool]   `json:"enabled,omitzero"`
}

func (s table) name() string { return "weft_" + s.Zone }
func (s table) file() string { return nftDir + "/weft-" + s.Zone + ".nft" }
func (s table) unit() string { return "weft-firewall-" + s.Zone + ".service" }

func tableStep(want table) step.Step { return step.Of("firewall "+want.Zone, tables{}, want) }

// table is what the spec asks for, with its rules as the kernel will have them.
func (s FirewallSpec) table(ctx context.Context, v host.View) (table, error) {
	want := table{By: "nftables", Zone: s.Zone, State: s.State, Links: s.Interfaces, Shuts: len(s.Rules) > 0 || s.Target == "drop" || s.Target == "reject"}
	if !s.State.There() {
		return want, nil
	}
	text, err := s.nft(want.name())
	if err != nil {
		return want, err
	}
	now, err := canonicalTable(ctx, v, want.name(), text)
	if err != nil {
		return want, err
	}
	want.Rules = ruleset{Now: step.Is(now), File: step.Is(replacing(want.name(), text)), Unit: step.Is(bootUnit(want)), Enabled: step.Is(true)}
	return want, nil
}

// replacing is a transaction that has the table anew, whether it was there or not.
func replacing(name, text string) string {
	return "# kept by weft\nadd table inet " + name + "\ndelete table inet " + name + "\n" + text
}

// bootUnit loads the file at boot, before there is a network, and whenever
// nftables.service was started, which flushes all tables on Debian.
func bootUnit(s table) string {
	return `[Unit]
Description=Firewall rules of zone ` + s.Zone + `, kept by weft
DefaultDependencies=no
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=/usr/sbin/nft -f ` + s.file() + `

[Install]
WantedBy=multi-user.target nftables.service
`
}

// canonicalTable has nft(8) load a table and list it, in a network namespace that is
// gone when it ends: nothing of the host changes. A mistake in the rules is an error.
func canonicalTable(ctx context.Context, v host.View, name, text string) (string, error) {
	r, err := v.Commands.Query(ctx, host.Command{
		Argv:  []string{"unshare", "--net", "xargs", "-0", "-n", "1", "nft", "-n", "-s"},
		Stdin: []byte(text + "\x00list table inet " + name + "\x00"),
	})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("nft does not take the rules: %s", strings.TrimSpace(string(r.Stderr)))
	}
	return string(r.Stdout), err
}

type tables struct{}

// Read asks the kernel, and looks for the file and its unit.
func (tables) Read(ctx context.Context, v host.View, want table) (table, error) {
	have := table{By: want.By, Zone: want.Zone, State: step.Absent, Shuts: want.Shuts}
	r, err := v.Commands.Query(ctx, host.Command{Argv: []string{"nft", "-n", "-s", "list", "table", "inet", want.name()}})
	var exit *host.ExitError
	switch {
	case err == nil:
		have.Rules.Now = step.Is(string(r.Stdout))
	case errors.As(err, &exit) && strings.Contains(string(r.Stderr), "No such file or directory"):
		have.Rules.Now = step.None[string]()
	default:
		return have, err
	}
	if have.Rules.File, err = textOf(ctx, v, want.file()); err != nil {
		return have, err
	}
	if have.Rules.Unit, err = textOf(ctx, v, unitDir+"/"+want.unit()); err != nil {
		return have, err
	}
	u, err := v.Units.Unit(ctx, want.unit())
	if err != nil {
		return have, err
	}
	have.Rules.Enabled = step.Is(u.FileState == "enabled")
	if !have.Rules.Now.Absent() || !have.Rules.File.Absent() || !have.Rules.Unit.Absent() {
		have.State = step.Present
	}
	names, err := v.Files.List(ctx, nftDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return have, err
	}
	have.Bare, have.Empty = step.Is(err != nil), err == nil && len(names) == 0
	if have.Links = want.Links; len(have.Links) == 0 {
		have.Links, err = bearers(ctx, v)
		return have, err
	}
	return have, nil
}

func textOf(ctx context.Context, v host.View, name string) (step.Attr[string], error) {
	b, err := v.Files.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return step.None[string](), nil
	}
	return step.Is(string(b)), err
}

// Diff compares the kernel's rules with those wanted, and what keeps them.
func (tables) Diff(have, want table) []step.Delta {
	deltas := step.Compare(have, want)
	if want.Bare.Or(false) && have.Empty {
		deltas = append(deltas, step.Change("directory", true, nil))
	}
	return deltas
}

// Write keeps the rules before it loads them, and forgets them after it took them out:
// a machine that loses power in between comes up as it was meant to be.
func (t tables) Write(ctx context.Context, h host.Host, have, want table) error {
	if !want.State.There() {
		want.Rules = ruleset{Now: step.None[string](), File: step.None[string](), Unit: step.None[string](), Enabled: step.Is(false)}
		if err := t.load(ctx, h, have, want); err != nil {
			return err
		}
		return t.keep(ctx, h, have, want)
	}
	if err := t.keep(ctx, h, have, want); err != nil {
		return err
	}
	return t.load(ctx, h, have, want)
}

// load has the kernel take the table in one transaction.
func (tables) load(ctx context.Context, h host.Host, have, want table) error {
	if have.Rules.Now == want.Rules.Now {
		return nil
	}
	text := replacing(want.name(), want.Rules.Now.Or(""))
	_, err := h.Commands.Run(ctx, host.Command{Argv: []string{"nft", "-f", "-"}, Stdin: []byte(text)})
	return err
}

// keep writes or removes the file and the unit that loads it.
func (tables) keep(ctx context.Context, h host.Host, have, want table) error {
	unitPath := unitDir + "/" + want.unit()
	if have.Rules.Enabled.Or(false) && !want.Rules.Enabled.Or(false) {
		if err := h.Units.Do(ctx, host.Disable, want.unit()); err != nil {
			return err
		}
	}
	if _, ok := want.Rules.File.Get(); ok && have.Bare.Or(false) {
		if err := h.Files.MakeDirectory(ctx, nftDir, host.Attributes{}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := put(ctx, h, want.file(), have.Rules.File, want.Rules.File); err != nil {
		return err
	}
	if err := put(ctx, h, unitPath, have.Rules.Unit, want.Rules.Unit); err != nil {
		return err
	}
	u, err := h.Units.Unit(ctx, want.unit())
	if err != nil {
		return err
	}
	if have.Rules.Unit != want.Rules.Unit || u.Stale {
		if err := h.Units.Do(ctx, host.Reload, ""); err != nil {
			return err
		}
	}
	if want.Rules.Enabled.Or(false) && !have.Rules.Enabled.Or(false) {
		if err := h.Units.Do(ctx, host.Enable, want.unit()); err != nil {
			return err
		}
	}
	if !want.Bare.Or(false) {
		return nil
	}
	return removeEmpty(ctx, h, nftDir)
}

// removeEmpty removes a directory that nobody put anything else in.
func removeEmpty(ctx context.Context, h host.Host, dir string) error {
	names, err := h.Files.List(ctx, dir)
	if errors.Is(err, fs.ErrNotExist) || len(names) > 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return h.Files.Remove(ctx, dir)
}

// put writes or removes a file where it differs.
func put(ctx context.Context, h host.Host, name string, have, want step.Attr[string]) error {
	text, ok := want.Get()
	switch {
	case have == want:
		return nil
	case !ok:
		return h.Files.Remove(ctx, name)
	}
	return h.Files.Write(ctx, name, []byte(text), host.Attributes{})
}

// Advise names the links that new rules may cut.
func (tables) Advise(f *step.Finding, have, want table) {
	f.Outputs = json.RawMessage("{}")
	if !want.State.There() {
		return
	}
	if !want.Shuts {
		f.Warnings = append(f.Warnings, "shuts nothing out: neither target = \"drop\" nor rules are given, and nftables lets in what no table drops")
	}
	loads := slices.ContainsFunc(f.Deltas, func(d step.Delta) bool { return d.Path == "state" || d.Path == "rules.now" })
	if loads && want.Shuts {
		f.Cost.Severs = have.Links
	}
}
