package language

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad takes any bytes for a playbook and an inventory through all calls.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"testdata/mistakes/playbook.hcl", "testdata/syntax/playbook.hcl"} {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, []byte(two))
	}
	f.Add([]byte(overlayPlay), []byte(overlay))
	f.Add([]byte("steps \"l\" {\n param \"x\" {}\n step \"file\" \"f\" { content = param.x }\n}\nplay \"p\" {\n hosts = \"all\"\n use \"l\" \"u\" { x = host.vars.ip }\n}\n"), []byte(two))
	f.Add([]byte("locals { a = [for h in role.compute : h.vars][0].n }\nplay \"p\" { hosts = [\"a\", hosts[\"b\"], role.compute[*]] }\n"), []byte(two))
	f.Add([]byte("play \"p\" {\n hosts = \"all\"\n step \"ovs_port\" \"p\" {\n  bridge = absent\n  tag = true ? absent : 1e400\n  options = { (host.name) = null }\n }\n}\n"), []byte(two))
	f.Add([]byte("play \"p\" {\n hosts = \"all\"\n guard = \"60s\"\n on_failure = \"rollback_all\"\n step \"package\" \"p\" {\n  guard = host.name == \"a\" ? absent : \"5m\"\n  time_limit = \"${host.facts.cpus}m\"\n }\n}\n"), []byte(two))
	f.Fuzz(func(t *testing.T, playbook, inventory []byte) {
		for _, far := range []string{"range", "pow", "indent", "%"} {
			if strings.Contains(string(playbook)+string(inventory), far) {
				t.Skip("may count or pad very far")
			}
		}
		p, ds := tryLoad(map[string]string{"play.hcl": string(playbook), "inv.hcl": string(inventory)}, Inputs{})
		_ = plainText(ds)
		if ds.Failed() {
			return
		}
		for _, play := range p.Plays {
			for _, h := range play.Hosts {
				units, ds := p.Units(play, h, Known{})
				if ds.Failed() {
					t.Errorf("validated, and then:\n%s", plainText(ds))
				}
				for _, u := range units {
					if !json.Valid(u.Spec) {
						t.Errorf("%s: no JSON: %s", u.Address, u.Spec)
					}
				}
			}
		}
	})
}

// FuzzFormat wants the formatted text to mean the same, and to stay.
func FuzzFormat(f *testing.F) {
	f.Add([]byte(overlayPlay))
	f.Add([]byte("a=1\nbcd   =  [1,\n2]\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		once, ds := Format("x.hcl", src)
		if ds.Failed() {
			return
		}
		if _, ds := Format("x.hcl", once); ds.Failed() {
			t.Errorf("formatting broke it:\n%s\n%s", once, plainText(ds))
		}
	})
}
