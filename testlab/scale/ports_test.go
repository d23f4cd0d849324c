package scale

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/host/row"
	"weft/engine/language"
	"weft/engine/onhost"
	"weft/engine/step"
	"weft/engine/wire"
	"weft/modules"
)

// sample is how many ports ovn-nbctl is asked to make, beside all the others: it reads
// them each time.
const sample = 50

// playbook has as many ports as are asked for in one step: hundreds of a hundred.
const playbook = `play "ports" {
  hosts = role.central
  step "ovn_switch" "ls1" {}
  step "ovn_switch_port" "port" {
    for_each      = { for n in flatten([for h in range(%d) : [for i in range(100) : 100 * h + i]]) :
      format("port-%%05d", n) => format("02:00:00:00:%%02x:%%02x 172.16.%%d.%%d", floor(n / 256), n %% 256, floor(n / 256), n %% 256) }
    name          = each.key
    switch        = "ls1"
    addresses     = [each.value]
    port_security = [each.value]
  }
}
`

const inventory = `site = "scale"
host "central" { roles = ["central"] }
`

// units are what the playbook comes to.
func units(b *testing.B, ports int) []step.Unit {
	b.Helper()
	dir := b.TempDir()
	play, inv := filepath.Join(dir, "ports.hcl"), filepath.Join(dir, "inventory.hcl")
	write(b, play, fmt.Sprintf(playbook, ports/100))
	write(b, inv, inventory)
	config, ds := language.Load(modules.Kinds(), language.Sources{Playbook: play, Inventories: []string{inv}})
	if ds.Failed() {
		b.Fatal(ds)
	}
	program, ds := config.Bind(language.Inputs{})
	if ds.Failed() {
		b.Fatal(ds)
	}
	all, ds := program.Units(program.Plays[0], program.Plays[0].Hosts[0], language.Known{})
	if ds.Failed() || len(all) != ports+1 {
		b.Fatalf("%d units: %v", len(all), ds)
	}
	return all
}

// BenchmarkPorts attaches ports to one switch, by the units of a playbook through the
// runner, and applies the same again to what needs nothing. Beside it are the raw
// transactions that it cannot do without, over the same socket; the same with a line
// synced to the disk before each, which is what a journal asks for at the least; and
// ovn-nbctl. All ratios are of one run.
func BenchmarkPorts(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // as cmd/weft-runner does
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("ports=%d", n), func(b *testing.B) {
			for b.Loop() {
				benchmarkPorts(b, n)
			}
		})
	}
}

func benchmarkPorts(b *testing.B, n int) {
	all := units(b, n)
	northbound := func() string { return serve(b, host.Northbound, "ovn-nb.ovsschema", "NB_Global") }
	raw := attachRaw(b, door(b, host.Northbound, northbound()), n, func(string) {})

	socket := northbound()
	r := newRunner(b, host.Northbound, socket)
	attach := r.apply(b, "attach", all, wire.Changed)
	converge := r.apply(b, "converge", all, wire.Converged)
	read := readRaw(b, door(b, host.Northbound, socket), n)
	sampled := attachNbctl(b, socket)
	undo := r.rollback(b, "attach", len(all))

	journal, err := os.Create(filepath.Join(b.TempDir(), "journal"))
	must(b, err)
	synced := attachRaw(b, door(b, host.Northbound, northbound()), n, func(line string) {
		_, err := journal.WriteString(line)
		must(b, errors.Join(err, journal.Sync()))
	})
	must(b, journal.Close())

	per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	b.ReportMetric(per(attach), "attach-us")
	b.ReportMetric(per(raw), "raw-us")
	b.ReportMetric(float64(attach)/float64(raw), "attach/raw")
	b.ReportMetric(float64(attach)/float64(synced), "attach/synced")
	b.ReportMetric(float64(sampled)/sample/(float64(attach)/float64(n)), "nbctl/attach")
	b.ReportMetric(per(undo), "undo-us")
	b.ReportMetric(per(converge), "converged-us")
	b.ReportMetric(float64(converge)/float64(read), "converged/read")
}

func portName(i int) string { return fmt.Sprintf("port-%05d", i) }

func address(i int) string {
	return fmt.Sprintf("02:00:00:00:%02x:%02x 172.16.%d.%d", i/256, i%256, i/256, i%256)
}

// attachRaw is a transaction a port: its row, its place on the switch, and the new
// generation that weft asks for.
func attachRaw(b *testing.B, d *local.OVSDB, n int, before func(line string)) time.Duration {
	b.Helper()
	var tx row.Tx
	tx.Insert("Logical_Switch", "ls", ovsdb.Row{"name": "ls1"})
	results, err := tx.Commit(b.Context(), d, host.Northbound)
	must(b, err)
	ls := results[0].UUID.GoUUID
	line := strings.Repeat("x", 1500) + "\n" // what a port takes in the journal
	began := time.Now()
	for i := range n {
		var tx row.Tx
		tx.Insert("Logical_Switch_Port", "p", ovsdb.Row{"name": portName(i), "addresses": address(i), "port_security": address(i),
			"external_ids": row.Strmap(map[string]string{"weft-owner": fmt.Sprintf("scale/ovn_switch_port.port[%q]", portName(i))})})
		tx.Mutate("Logical_Switch", ls, row.AddRefs("ports", "p"))
		tx.Add(ovsdb.Operation{Op: ovsdb.OperationMutate, Table: "NB_Global", Mutations: []ovsdb.Mutation{row.Increment("nb_cfg")}})
		before(line)
		_, err := tx.Commit(b.Context(), d, host.Northbound)
		must(b, err)
	}
	return time.Since(began)
}

// readRaw reads each port once.
func readRaw(b *testing.B, d *local.OVSDB, n int) time.Duration {
	b.Helper()
	began := time.Now()
	for i := range n {
		_, err := d.Select(b.Context(), host.Northbound, row.Select("Logical_Switch_Port", nil, row.Is("name", portName(i))))
		must(b, err)
	}
	return time.Since(began)
}

// attachNbctl does what an operator would, one command a port, on a switch that the
// rollback leaves alone.
func attachNbctl(b *testing.B, socket string) time.Duration {
	b.Helper()
	if out, err := exec.Command("ovn-nbctl", "--db=unix:"+socket, "ls-add", "by-hand").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	began := time.Now()
	for i := range sample {
		name, a := fmt.Sprintf("hand-%05d", i), fmt.Sprintf("02:00:00:01:00:%02x 172.17.0.%d", i, i)
		out, err := exec.Command("ovn-nbctl", "--db=unix:"+socket, "lsp-add", "by-hand", name,
			"--", "lsp-set-addresses", name, a, "--", "lsp-set-port-security", name, a).CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	return time.Since(began)
}

// A runner is the runner of weft on this machine, but for its database and its
// directories.
type runner struct{ config onhost.Config }

func newRunner(b *testing.B, db host.Database, socket string) *runner {
	h := local.New()
	h.OVSDB = door(b, db, socket)
	dir := b.TempDir()
	return &runner{onhost.Config{
		Table: modules.Kinds(), Host: h, Digest: strings.Repeat("0", 64),
		State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run"),
		Way: func() (onhost.Way, error) { return onhost.Way{}, nil },
	}}
}

func (r *runner) check(b *testing.B, all []step.Unit) time.Duration {
	return r.session(b, "check", wire.Converged, len(all), wire.Request{ID: 2, Check: &wire.Check{Units: all}})
}

func (r *runner) apply(b *testing.B, run string, all []step.Unit, want wire.UnitState) time.Duration {
	return r.session(b, run, want, len(all),
		wire.Request{ID: 2, Apply: &wire.Apply{Play: "ports", Units: all}},
		wire.Request{ID: 3, EndPlay: &wire.EndPlay{Play: "ports"}})
}

func (r *runner) rollback(b *testing.B, run string, units int) time.Duration {
	return r.session(b, "back", wire.Undone, units, wire.Request{ID: 2, Rollback: &wire.Rollback{Runs: []string{run}}})
}

func (r *runner) session(b *testing.B, run string, want wire.UnitState, units int, requests ...wire.Request) time.Duration {
	b.Helper()
	began := time.Now()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- onhost.Serve(context.Background(), inR, outW, r.config)
		_ = outW.Close()
	}()
	go func() {
		requests := append([]wire.Request{{ID: 1, Hello: &wire.Hello{Run: run, Site: "scale", Intent: wire.Change, LeaseTime: time.Hour}}}, requests...)
		if err := wire.NewWriter[wire.Request](inW).Write(append(requests, wire.Request{ID: 9, Bye: &wire.Bye{}})...); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	seen := 0
	for events := wire.NewReader[wire.Event](outR); ; {
		e, err := events.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		must(b, err)
		switch {
		case e.Unit != nil && e.Unit.State == want:
			seen++
		case e.Unit != nil && e.Unit.Error != "":
			b.Log(e.Unit.Address, e.Unit.Error)
		case e.Done != nil && e.Done.Error != "":
			b.Fatal(strconv.Itoa(e.ID), e.Done.Error)
		}
	}
	must(b, <-ended)
	if seen != units {
		b.Fatalf("%d of %d are %s", seen, units, want)
	}
	return time.Since(began)
}
