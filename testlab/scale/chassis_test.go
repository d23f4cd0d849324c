package scale

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/ovn-org/libovsdb/ovsdb"

	"weft/engine/host"
	"weft/engine/host/local"
	"weft/engine/host/row"
	"weft/engine/step"
	"weft/engine/wire"
)

// BenchmarkChassis is what a central asks of a southbound database with that many
// chassis: whether any of them is dead, and of each of them whether it is registered.
// What is reported is the time for one chassis, which is to stay what it is.
func BenchmarkChassis(b *testing.B) {
	for _, n := range []int{100, 1000, 4000} {
		b.Run(fmt.Sprintf("chassis=%d", n), func(b *testing.B) {
			socket := serve(b, host.Southbound, "ovn-sb.ovsschema", "SB_Global")
			register(b, door(b, host.Southbound, socket), n)
			stale, probes := questions(b, n)
			var checked, probed time.Duration
			rounds := 0
			for b.Loop() {
				rounds++
				r := newRunner(b, host.Southbound, socket)
				checked += r.check(b, stale)
				probed += r.session(b, "probe", wire.Proved, n, wire.Request{ID: 2, Probe: &wire.Probe{Units: probes}})
			}
			per := float64(rounds * n * 1000)
			b.ReportMetric(float64(checked.Nanoseconds())/per, "stale-us/chassis")
			b.ReportMetric(float64(probed.Nanoseconds())/per, "probe-us/chassis")
		})
	}
}

// register makes the rows that ovn-controller of each host would.
func register(b *testing.B, d *local.OVSDB, n int) {
	b.Helper()
	for i := range n {
		var tx row.Tx
		tx.Insert("Encap", "encap", ovsdb.Row{"type": "geneve", "ip": underlay(i), "chassis_name": systemID(i)})
		tx.Insert("Chassis", "chassis", ovsdb.Row{"name": systemID(i), "hostname": fmt.Sprintf("compute%d", i), "encaps": row.UUIDs("encap")})
		tx.Insert("Chassis_Private", "", ovsdb.Row{"name": systemID(i), "chassis": row.UUIDs("chassis")})
		_, err := tx.Commit(b.Context(), d, host.Southbound)
		must(b, err)
	}
}

func systemID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }
func underlay(i int) string { return fmt.Sprintf("10.%d.%d.1", i/256, i%256) }

// questions are a step that knows all chassis for alive, and a probe of each.
func questions(b *testing.B, n int) (stale, probes []step.Unit) {
	b.Helper()
	live := map[string]any{}
	for i := range n {
		live[fmt.Sprintf("compute%d", i)] = map[string]any{"system_id": systemID(i), "encap_types": []string{"geneve"}, "encap_ips": []string{underlay(i)}}
		probes = append(probes, unit(b, "probe_ovn_chassis", fmt.Sprintf("compute%d", i),
			map[string]any{"chassis": fmt.Sprintf("compute%d", i), "encap_ip": underlay(i), "timeout": time.Minute}))
	}
	return []step.Unit{unit(b, "ovn_stale_chassis", "all", map[string]any{"chassis": live})}, probes
}

func unit(b *testing.B, kind, name string, spec any) step.Unit {
	b.Helper()
	text, err := json.Marshal(spec)
	must(b, err)
	return step.Unit{Address: kind + "." + name, Kind: kind, Name: name, Spec: text}
}
