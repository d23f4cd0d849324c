package language

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad takes any bytes for a playbook through all calls.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"testdata/mistakes/playbook.hcl", "testdata/syntax/playbook.hcl"} {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(overlayPlay))
	f.Add([]byte("steps \"l\" {\n param \"x\" {}\n step \"file\" \"f\" { content = param.x }\n}\nplay \"p\" {\n hosts = \"all\"\n use \"l\" \"u\" { x = host.vars.ip }\n}\n"))
	f.Add([]byte("locals { a = [for h in role.compute : h.vars][0].n }\nplay \"p\" { hosts = [\"a\", hosts[\"b\"], role.compute[*]] }\n"))
	f.Add([]byte("play \"p\" {\n hosts = \"all\"\n step \"ovs_port\" \"p\" {\n  bridge = absent\n  tag = true ? absent : 1e400\n  options = { (host.name) = null }\n }\n}\n"))
	f.Fuzz(func(t *testing.T, playbook []byte) {
		if strings.Contains(string(playbook), "range(") || strings.Contains(string(playbook), "pow(") {
			t.Skip("may count very far")
		}
		files := map[string]string{"play.hcl": string(playbook), "inv.hcl": two}
		p, ds := tryLoad(files, Inputs{})
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
