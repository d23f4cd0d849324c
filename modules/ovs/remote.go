package ovs

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host/netconf"
	"weft/engine/host/row"
	"weft/engine/step"
)

// Remote is whom Open vSwitch speaks to: a row of the table Controller
// (OpenFlow) or Manager (OVSDB). What is left out is Open vSwitch's default.
type Remote struct {
	Target          string            `json:"target" weft:"required" doc:"Connection method: tcp:IP:PORT and ssl:IP:PORT dial, ptcp:PORT:IP and pssl:PORT:IP listen, unix:FILE and punix:FILE are local."`
	ConnectionMode  step.Attr[string] `json:"connection_mode,omitzero" weft:"enum=in-band|out-of-band" doc:"Whether the connection goes through the switch itself. Open vSwitch's default is in-band."`
	InactivityProbe step.Attr[int]    `json:"inactivity_probe,omitzero" doc:"Milliseconds of silence after which the peer is asked whether it is there; 0 never asks. Open vSwitch's default is 5000."`
	MaxBackoff      step.Attr[int]    `json:"max_backoff,omitzero" doc:"Milliseconds between attempts to connect, at most; at least 1000. Open vSwitch's default is 8000."`
}

// remoteColumn is a column that holds remotes.
type remoteColumn struct {
	holder, column, table string
	attribute             string
}

func controllers() remoteColumn {
	return remoteColumn{"Bridge", "controller", "Controller", "controllers"}
}

func managers() remoteColumn {
	return remoteColumn{"Open_vSwitch", "manager_options", "Manager", "managers"}
}

var portNumber = regexp.MustCompile(`^[0-9]{1,5}$`)

// problems finds targets that Open vSwitch would not understand.
func (c remoteColumn) problems(list []Remote) []step.Problem {
	var problems []step.Problem
	add := func(message, hint string) {
		problems = append(problems, step.Problem{Path: c.attribute, Message: message, Hint: hint})
	}
	seen := map[string]bool{}
	for _, r := range list {
		method, rest, _ := strings.Cut(r.Target, ":")
		switch known := []string{"tcp", "ssl", "unix", "ptcp", "pssl", "punix"}; {
		case !slices.Contains(known, method) || strings.ContainsAny(r.Target, " \t\n,"):
			add(strconv.Quote(r.Target)+" is no connection method", "write it as tcp:192.0.2.1:6653; ovsdb(7) and ovs-vswitchd.conf.db(5) list them")
		case rest == "" && method != "ptcp" && method != "pssl":
			add(r.Target+" names nobody", "write it as "+method+":"+map[string]string{"unix": "/run/c.sock", "punix": "/run/c.sock"}[method])
		case seen[r.Target]:
			add(r.Target+" is there twice", "")
		}
		if port, _, passive := r.listener(); passive && port != "" && !portNumber.MatchString(port) {
			add(strconv.Quote(port)+" in "+r.Target+" is no TCP port", "a listener is written as ptcp:6640:192.0.2.1")
		}
		if n, ok := r.InactivityProbe.Get(); ok && n < 0 {
			add(fmt.Sprintf("inactivity_probe %d of %s is below 0", n, r.Target), "")
		}
		if n, ok := r.MaxBackoff.Get(); ok && n < 1000 {
			add(fmt.Sprintf("max_backoff %d of %s is below 1000", n, r.Target), "it is in milliseconds")
		}
		seen[r.Target] = true
	}
	return problems
}

// listener cuts ptcp:[PORT][:IP].
func (r Remote) listener() (port, address string, ok bool) {
	method, rest, _ := strings.Cut(r.Target, ":")
	if method != "ptcp" && method != "pssl" {
		return "", "", false
	}
	port, address, _ = strings.Cut(rest, ":")
	return port, strings.Trim(address, "[]"), true
}

// openToAll says whether a remote listens on all addresses without asking
// anybody for a certificate.
func (r Remote) openToAll() bool {
	_, address, ok := r.listener()
	a, err := netip.ParseAddr(address)
	return ok && strings.HasPrefix(r.Target, "ptcp") && (err != nil || a.IsUnspecified())
}

func openWarnings(list []Remote) []string {
	var warnings []string
	for _, r := range list {
		if r.openToAll() {
			warnings = append(warnings, r.Target+" listens on all addresses of the host: whoever reaches one of them may change the switch; write ptcp:PORT:ADDRESS")
		}
	}
	return warnings
}

// spelled leaves one way to say that something is Open vSwitch's default.
func spelled(list []Remote) []Remote {
	if list == nil {
		return nil
	}
	out := slices.Clone(list)
	for i := range out {
		r := &out[i]
		if r.ConnectionMode.Absent() {
			r.ConnectionMode = step.Attr[string]{}
		}
		for _, n := range []*step.Attr[int]{&r.InactivityProbe, &r.MaxBackoff} {
			if n.Absent() {
				*n = step.Attr[int]{}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Remote) int { return cmp.Compare(a.Target, b.Target) })
	return out
}

// remoteOf is a row as an attribute says it.
func remoteOf(r ovsdb.Row) Remote {
	out := Remote{Target: row.String(r, "target")}
	if s, ok := row.OptionalString(r, "connection_mode"); ok {
		out.ConnectionMode = step.Is(s)
	}
	if n, ok := row.Int(r, "inactivity_probe"); ok {
		out.InactivityProbe = step.Is(n)
	}
	if n, ok := row.Int(r, "max_backoff"); ok {
		out.MaxBackoff = step.Is(n)
	}
	return out
}

// rows are those that a holder refers to, by target.
func (c remoteColumn) rows(holder ovsdb.Row, all map[string]ovsdb.Row) []ovsdb.Row {
	var out []ovsdb.Row
	for _, id := range row.Refs(holder, c.column) {
		if r, there := all[id]; there {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b ovsdb.Row) int { return cmp.Compare(row.String(a, "target"), row.String(b, "target")) })
	return out
}

// read answers a list of remotes, and their rows for undo; nothing where want is
// unmanaged.
func (c remoteColumn) read(want []Remote, holder ovsdb.Row, all map[string]ovsdb.Row) (list []Remote, whole []row.Record) {
	if want == nil {
		return nil, nil
	}
	list = []Remote{}
	for _, r := range c.rows(holder, all) {
		list = append(list, remoteOf(r))
		whole = append(whole, row.Record(r))
	}
	return list, whole
}

// insert makes the rows of remotes, of what was recorded of them where there is
// any, and returns the names that refer to them.
func (c remoteColumn) insert(tx *row.Tx, want []Remote, recorded []row.Record) []string {
	var names []string
	for i, r := range want {
		columns := ovsdb.Row{}
		for _, old := range recorded {
			if row.String(ovsdb.Row(old), "target") == r.Target {
				columns = old.Insertable(reportColumns()...)
			}
		}
		for column, v := range r.columns() {
			columns[column] = v
		}
		columns["target"] = r.Target
		names = append(names, fmt.Sprintf("%s%d", c.column, i))
		tx.Insert(c.table, names[i], columns)
	}
	return names
}

func (r Remote) columns() ovsdb.Row {
	c := newColumns()
	for column, n := range map[string]step.Attr[int]{"inactivity_probe": r.InactivityProbe, "max_backoff": r.MaxBackoff} {
		optional(c, column, step.None[int]())
		optional(c, column, n)
	}
	optional(c, "connection_mode", step.None[string]())
	optional(c, "connection_mode", r.ConnectionMode)
	return c.row
}

// update makes the remotes of a holder those that are wanted. The row of a target
// that stays keeps its other columns.
func (c remoteColumn) update(tx *row.Tx, holder ovsdb.Row, all map[string]ovsdb.Row, want []Remote, recorded []row.Record) {
	if want == nil {
		return
	}
	left, missing := c.rows(holder, all), []Remote{}
	for _, r := range spelled(want) {
		i := slices.IndexFunc(left, func(l ovsdb.Row) bool { return row.String(l, "target") == r.Target })
		if i < 0 {
			missing = append(missing, r)
			continue
		}
		if remoteOf(left[i]) != r {
			tx.Guard(c.table, left[i], "target", "connection_mode", "inactivity_probe", "max_backoff")
			tx.Update(c.table, row.ID(left[i]), r.columns())
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left)+len(missing) == 0 {
		return
	}
	tx.Guard(c.holder, holder, c.column)
	var mutations []ovsdb.Mutation
	if ids := idsOf(left); len(ids) > 0 {
		mutations = append(mutations, row.RemoveRefs(c.column, ids...))
	}
	if names := c.insert(tx, missing, recorded); len(names) > 0 {
		mutations = append(mutations, row.AddRefs(c.column, names...))
	}
	tx.Mutate(c.holder, row.ID(holder), mutations...)
}

func idsOf(rows []ovsdb.Row) []string {
	var ids []string
	for _, r := range rows {
		ids = append(ids, row.ID(r))
	}
	return ids
}

// keptRemotes are the controllers of a bridge as files hold them.
func keptRemotes(list []Remote) []netconf.OVSController {
	if list == nil {
		return nil
	}
	out := []netconf.OVSController{}
	for _, r := range list {
		var columns kept
		columns.text("connection_mode", r.ConnectionMode)
		columns.number("inactivity_probe", r.InactivityProbe)
		columns.number("max_backoff", r.MaxBackoff)
		out = append(out, netconf.OVSController{Target: r.Target, Columns: columns})
	}
	return out
}

// silent are the remotes that dial and are not connected, each with what Open
// vSwitch says of it.
func silent(want []Remote, whole []row.Record) []string {
	var out []string
	for _, r := range whole {
		remote := remoteOf(ovsdb.Row(r))
		wanted := slices.ContainsFunc(want, func(w Remote) bool { return w.Target == remote.Target })
		connected, _ := row.Bool(ovsdb.Row(r), "is_connected")
		if method, _, _ := strings.Cut(remote.Target, ":"); !wanted || connected || strings.HasPrefix(method, "p") {
			continue
		}
		said := remote.Target + " is not connected"
		if last := row.Map(ovsdb.Row(r), "status")["last_error"]; last != "" {
			said += ": " + last
		}
		out = append(out, said)
	}
	return out
}
