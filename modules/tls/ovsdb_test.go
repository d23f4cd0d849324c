package tls

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/fake"
	"weft/engine/host/row"
	"weft/engine/onhost/killtest"
	"weft/engine/step"
	"weft/engine/step/steptest"
)

// daemons is a machine with the three databases and some files for TLS.
func daemons() *fake.Machine {
	m := machine()
	for _, db := range []host.Database{host.OpenVSwitch, host.Northbound, host.Southbound} {
		m.AddDatabase(db)
	}
	for _, name := range []string{"x.key", "x.crt", "ca.crt"} {
		m.WriteFile(lawsDirectory+"/"+name, "")
	}
	return m
}

// setSSL is what ovn-nbctl set-ssl does, and more columns.
func setSSL(s OVSDBSpec, r ovsdb.Row) func(*fake.Machine) {
	return func(m *fake.Machine) {
		db, table := s.door()
		var tx row.Tx
		tx.Insert("SSL", "ssl", r)
		tx.Update(table, row.ID(m.Rows(db, table)[0]), ovsdb.Row{"ssl": row.UUIDs("ssl")})
		m.Transact(db, tx.Operations()...)
	}
}

func TestLawsOVSDB(t *testing.T) {
	tools := map[string]string{"open_vswitch": "ovs-vsctl", "northbound": "ovn-nbctl", "southbound": "ovn-sbctl"}
	for database, tool := range tools {
		t.Run(database, func(t *testing.T) { ovsdbLaws(t, database, tool) })
	}
}

func ovsdbLaws(t *testing.T, database, tool string) {
	t.Helper()
	spec := OVSDBSpec{
		Database: database, PrivateKey: lawsDirectory + "/x.key", Certificate: lawsDirectory + "/x.crt", CACert: lawsDirectory + "/ca.crt", Bootstrap: step.Is(false),
	}
	db, table := spec.door()
	set := func(column string, value any, text string) steptest.Hand {
		return steptest.Hand{
			Name: column,
			Fake: func(m *fake.Machine) {
				m.Transact(db, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: "SSL", Row: ovsdb.Row{column: value}})
			},
			Host: steptest.Run(tool, "set", "SSL", ".", column+"="+text),
		}
	}
	byHand := ovsdb.Row{"private_key": "/k", "certificate": "/c", "ca_cert": "/ca", "bootstrap_ca_cert": true, "external_ids": row.Strmap(map[string]string{"note": "kept"})}
	bare, absent, columns := spec, spec, "private_key,certificate,ca_cert,bootstrap_ca_cert,external_ids"
	bare.Bootstrap = step.None[bool]()
	absent.State = step.Absent
	drift := []steptest.Hand{
		{
			Name: "state",
			Fake: func(m *fake.Machine) {
				m.Transact(db, ovsdb.Operation{Op: ovsdb.OperationUpdate, Table: table, Row: ovsdb.Row{"ssl": row.Empty()}})
			},
			Host: steptest.Run(tool, "del-ssl"),
		},
		set("private_key", "/other", "/other"), set("certificate", "/other", "/other"), set("ca_cert", "/other", "/other"), set("bootstrap_ca_cert", true, "true"),
	}
	policy := []string{"database"} // it says which row is meant
	if database == "open_vswitch" {
		policy = append(policy, "ssl_protocols", "ssl_ciphers") // which it has not
	} else {
		byHand["ssl_protocols"], columns = "TLSv1.1", columns+",ssl_protocols,ssl_ciphers"
		spec.Protocols, spec.Ciphers = step.Is("TLSv1.2"), step.Is("HIGH:!aNULL")
		bare.Protocols, bare.Ciphers = step.None[string](), step.None[string]()
		drift = append(drift, set("ssl_protocols", "TLSv1", "TLSv1"), set("ssl_ciphers", "ALL", "ALL"))
	}
	made := []host.Command{{Argv: []string{tool, "--bootstrap", "set-ssl", "/k", "/c", "/ca", "--", "set", "SSL", ".", "external_ids:note=kept"}}}
	if database != "open_vswitch" {
		made[0].Argv = append(made[0].Argv, "ssl_protocols=TLSv1.1")
	}
	here := steptest.Hand{Name: "different", Fake: setSSL(spec, byHand), Host: made}
	back := here
	back.Name = "state"
	subject := steptest.Subject{
		Kind: ovsdbKind(), Machine: daemons, Borrows: "a database has one such row",
		Found: []steptest.Hand{{Name: "absent"}, here},
		Cases: []steptest.Case{
			{Name: "whole", Spec: spec, Drift: drift},
			{Name: "bare", Spec: bare},
			{Name: "absent", Spec: absent, Drift: []steptest.Hand{back}},
		},
		Policy:  policy,
		Touches: steptest.Touches{Queries: steptest.Run(tool, "--format=csv", "--no-headings", "--columns="+columns, "list", "SSL")},
		Clean: append(append(clean(), steptest.Run(tool, "del-ssl")...),
			steptest.Run("touch", lawsDirectory+"/x.key", lawsDirectory+"/x.crt", lawsDirectory+"/ca.crt")...),
	}
	steptest.Laws(t, subject)
	if database == "southbound" { // killed sessions care for no name
		t.Run("killed", func(t *testing.T) { killtest.Subject(t, subject) })
	}
}

func TestOVSDBWaitsAndWarns(t *testing.T) {
	spec := OVSDBSpec{Database: "southbound", PrivateKey: lawsDirectory + "/x.key", Certificate: lawsDirectory + "/x.crt", CACert: lawsDirectory + "/ca.crt"}
	for _, gone := range []string{"x.key", "x.crt", "ca.crt"} {
		m := daemons()
		m.Remove(lawsDirectory + "/" + gone)
		if _, err := stepOf(t, ovsdbKind(), spec).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) || !strings.Contains(fmt.Sprint(err), gone) {
			t.Errorf("without %s: %v", gone, err)
		}
	}
	m := machine()
	for _, name := range []string{"x.key", "x.crt", "ca.crt"} {
		m.WriteFile(lawsDirectory+"/"+name, "")
	}
	if _, err := stepOf(t, ovsdbKind(), spec).Check(t.Context(), m.Host().View()); !errors.Is(err, step.ErrNotYet) {
		t.Errorf("without the database: %v", err)
	}
	m = daemons()
	for key, warned := range map[byte]bool{2: false, 3: true} {
		m.WriteFile(spec.PrivateKey, string(newKey(keyOf(key), "")))
		m.WriteFile(spec.Certificate, string(issuedBy(keyOf(1), func(*certificate) {})))
		f, err := stepOf(t, ovsdbKind(), spec).Check(t.Context(), m.Host().View())
		if err != nil || (len(f.Warnings) > 0) != warned {
			t.Errorf("with key %d: %q, %v", key, f.Warnings, err)
		}
	}
	odd := OVSDBSpec{Database: "open_vswitch", PrivateKey: "x", Certificate: "/c", CACert: "/ca", Protocols: step.Is("TLSv1.2")}
	if p := odd.Validate(); len(p) != 2 {
		t.Errorf("%v", p)
	}
}
