package tls

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/row"
	"weft/engine/step"
)

// OVSDBSpec is the attributes of an ovsdb_ssl.
type OVSDBSpec struct {
	Database    string            `json:"database" weft:"required,enum=open_vswitch|northbound|southbound" doc:"Whose row it is. That of open_vswitch is for ovs-vswitchd and ovn-controller, the others are for the listeners of OVN's databases."`
	PrivateKey  string            `json:"private_key" weft:"required" doc:"Absolute path of the private key, PEM. The daemon must be able to read it."`
	Certificate string            `json:"certificate" weft:"required" doc:"Absolute path of its certificate, PEM."`
	CACert      string            `json:"ca_cert" weft:"required" doc:"Absolute path of the certificates of the authorities whose peers are let in, PEM."`
	Bootstrap   step.Attr[bool]   `json:"bootstrap_ca_cert,omitzero" doc:"Whether a ca_cert that is not there is taken from the first peer that shows one. false is the safe value."`
	Protocols   step.Attr[string] `json:"ssl_protocols,omitzero" doc:"Versions of TLS with commas: \"TLSv1.2\". Columns of OVN's databases alone."`
	Ciphers     step.Attr[string] `json:"ssl_ciphers,omitzero" doc:"Ciphers as OpenSSL's ciphers(1) writes them. Columns of OVN's databases alone."`
	State       step.State        `json:"state,omitzero" default:"present" doc:"Whether the row should be there."`

	Found row.Record `json:"found,omitzero" weft:"found"`
}

func ovsdbKind() step.Kind {
	return step.Kind{
		Name:    "ovsdb_ssl",
		Summary: "Where the key and the certificates for TLS of a database of Open vSwitch or OVN lie.",
		Doc: `The row SSL of the database, as ovs-vsctl set-ssl, ovn-nbctl set-ssl and ovn-sbctl set-ssl write it. The files must be there when
the step's turn comes, so it stands after the steps that make them; a daemon reads them by itself when they change.

A listener "pssl:…" lets in whoever has a certificate of an authority in ca_cert, and nobody else.`,
		Spec: OVSDBSpec{},
		Example: `step "ovsdb_ssl" "southbound" {
  database    = "southbound"
  private_key = "/etc/ovn/tls.key"
  certificate = "/etc/ovn/tls.crt"
  ca_cert     = "/etc/ovn/ca.crt"
}`,
		Make: func(u step.Unit) (step.Step, error) {
			want, err := step.Decode[OVSDBSpec](u)
			if err != nil {
				return nil, err
			}
			return withFiles{step.Of("SSL of "+want.Database, ssl{}, want), want}, nil
		},
	}
}

// Validate finds paths that are none, and columns that Open_vSwitch lacks.
func (s *OVSDBSpec) Validate() []step.Problem {
	problems := slices.Concat(pathProblems("private_key", s.PrivateKey), pathProblems("certificate", s.Certificate), pathProblems("ca_cert", s.CACert))
	if s.Database != "open_vswitch" {
		return problems
	}
	for attribute, a := range map[string]step.Attr[string]{"ssl_protocols": s.Protocols, "ssl_ciphers": s.Ciphers} {
		if a.Managed() {
			problems = append(problems, step.Problem{Path: attribute, Message: "is a column of OVN's databases alone"})
		}
	}
	return problems
}

// withFiles is a step whose files must be there.
type withFiles struct {
	step.Step
	want OVSDBSpec
}

// Check looks for the files first, and then whether the key is that of the certificate.
func (w withFiles) Check(ctx context.Context, v host.View) (step.Finding, error) {
	if !w.want.State.There() {
		return w.Step.Check(ctx, v)
	}
	paths := []string{w.want.PrivateKey, w.want.Certificate}
	if !w.want.Bootstrap.Or(false) {
		paths = append(paths, w.want.CACert)
	}
	for _, path := range paths {
		_, err := v.Files.Stat(ctx, path)
		if errors.Is(err, fs.ErrNotExist) {
			return step.Finding{}, fmt.Errorf("%s is not there; a step \"tls_key\" or \"file\" before it makes one: %w", path, step.ErrNotYet)
		}
		if err != nil {
			return step.Finding{}, err
		}
	}
	f, err := w.Step.Check(ctx, v)
	if err != nil {
		return f, err
	}
	found, err := readFiles(ctx, v.Files, w.want.PrivateKey, w.want.Certificate)
	if err != nil {
		return f, nil // a link to somewhere else, which the daemon may follow
	}
	key, _, noKey := readKey(found.content(w.want.PrivateKey))
	c, none := readCertificate(found.content(w.want.Certificate))
	if noKey == nil && none == nil && !c.key.Equal(key.Public()) {
		f.Warnings = append(f.Warnings, fmt.Sprintf("%s is not for the key %s: nobody will be able to connect", w.want.Certificate, w.want.PrivateKey))
	}
	return f, nil
}

// door is the database and its root table.
func (s OVSDBSpec) door() (db host.Database, root string) {
	switch s.Database {
	case "northbound":
		return host.Northbound, "NB_Global"
	case "southbound":
		return host.Southbound, "SB_Global"
	}
	return host.OpenVSwitch, "Open_vSwitch"
}

// ssl is the resource: the one row that the root row refers to.
type ssl struct{}

func (ssl) Read(ctx context.Context, v host.View, want OVSDBSpec) (OVSDBSpec, error) {
	have := OVSDBSpec{Database: want.Database, State: step.Absent}
	_, r, err := rows(ctx, v.OVSDB, want)
	if err != nil || r == nil {
		return have, err
	}
	have.State, have.Found = step.Present, row.Record(r)
	have.PrivateKey, have.Certificate, have.CACert = row.String(r, "private_key"), row.String(r, "certificate"), row.String(r, "ca_cert")
	if want.Bootstrap.Managed() {
		bootstrap, _ := row.Bool(r, "bootstrap_ca_cert")
		have.Bootstrap = asked(want.Bootstrap, bootstrap)
	}
	if want.Protocols.Managed() {
		have.Protocols = asked(want.Protocols, row.String(r, "ssl_protocols"))
	}
	if want.Ciphers.Managed() {
		have.Ciphers = asked(want.Ciphers, row.String(r, "ssl_ciphers"))
	}
	return have, nil
}

// asked is a column that always has a value, whose zero is also absent.
func asked[T comparable](want step.Attr[T], v T) step.Attr[T] {
	var zero T
	if want.Absent() && v == zero {
		return step.None[T]()
	}
	return step.Is(v)
}

// rows are the root row and the row SSL, which is nil where there is none.
func rows(ctx context.Context, db host.OVSDBReader, want OVSDBSpec) (root, ssl ovsdb.Row, err error) {
	name, table := want.door()
	results, err := db.Select(ctx, name, row.Select(table, []string{"_uuid", "ssl"}), row.Select("SSL", nil))
	if err != nil {
		return nil, nil, err
	}
	if len(results[0].Rows) != 1 {
		return nil, nil, fmt.Errorf("%s has no row yet: the daemon that makes it has never run: %w", table, step.ErrNotYet)
	}
	root = results[0].Rows[0]
	return root, row.ByID(results[1].Rows)[row.Ref(root, "ssl")], nil
}

func (ssl) Diff(have, want OVSDBSpec) []step.Delta { return step.Compare(have, want) }

// Advise names what a removal costs.
func (ssl) Advise(f *step.Finding, have, want OVSDBSpec) {
	if have.State.There() && !want.State.There() {
		f.Cost.Disruption = "connections with TLS of " + want.Database + " cannot be made any more"
	}
}

func (ssl) Write(ctx context.Context, h host.Host, have, want OVSDBSpec) error {
	db, table := want.door()
	root, r, err := rows(ctx, h.OVSDB, want)
	if err != nil {
		return err
	}
	var tx row.Tx
	tx.Guard(table, root, "ssl")
	switch {
	case !want.State.There():
		tx.Update(table, row.ID(root), ovsdb.Row{"ssl": row.Empty()})
	case r == nil:
		tx.Insert("SSL", "ssl", want.columns(want.Found))
		tx.Update(table, row.ID(root), ovsdb.Row{"ssl": row.UUIDs("ssl")})
	default:
		tx.Guard("SSL", r, "private_key", "certificate", "ca_cert")
		tx.Update("SSL", row.ID(r), want.columns(nil))
	}
	_, err = tx.Commit(ctx, h.OVSDB, db)
	if errors.Is(err, row.ErrChanged) {
		return fmt.Errorf("%w (%w)", err, step.ErrConflict)
	}
	return err
}

// columns are those of the row that is wanted, above what was recorded of it.
func (s OVSDBSpec) columns(recorded row.Record) ovsdb.Row {
	r := ovsdb.Row{}
	maps.Copy(r, recorded.Insertable())
	r["private_key"], r["certificate"], r["ca_cert"] = s.PrivateKey, s.Certificate, s.CACert
	if s.Bootstrap.Managed() {
		r["bootstrap_ca_cert"] = s.Bootstrap.Or(false)
	}
	if s.Protocols.Managed() {
		r["ssl_protocols"] = s.Protocols.Or("")
	}
	if s.Ciphers.Managed() {
		r["ssl_ciphers"] = s.Ciphers.Or("")
	}
	return r
}
