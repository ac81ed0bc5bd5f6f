package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// pki is the cluster's one certificate authority: every server and client certificate comes from it.
type pki struct {
	dir string
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der, 0o600)
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return n
}

// newPKI makes (or opens again) the authority and the service-account key under dir.
func newPKI(dir string) (*pki, error) {
	p := &pki{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if raw, err := os.ReadFile(p.path("ca.crt")); err == nil {
		rawKey, err := os.ReadFile(p.path("ca.key"))
		if err != nil {
			return nil, err
		}
		crt, _ := pem.Decode(raw)
		key, _ := pem.Decode(rawKey)
		if p.ca, err = x509.ParseCertificate(crt.Bytes); err != nil {
			return nil, err
		}
		p.key, err = x509.ParseECPrivateKey(key.Bytes)
		return p, err
	}
	var err error
	if p.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "test-cluster-ca"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &p.key.PublicKey, p.key)
	if err != nil {
		return nil, err
	}
	if p.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	account, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&account.PublicKey)
	if err != nil {
		return nil, err
	}
	for _, write := range []func() error{
		func() error { return writeKey(p.path("ca.key"), p.key) },
		func() error { return writeKey(p.path("sa.key"), account) },
		func() error { return writePEM(p.path("sa.pub"), "PUBLIC KEY", public, 0o644) },
		func() error { return writePEM(p.path("ca.crt"), "CERTIFICATE", der, 0o644) }, // last: its presence means the rest is there
	} {
		if err := write(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// issue writes name.crt and name.key, for client and server use, with these alternative names.
func (p *pki) issue(name, commonName string, organizations []string, alternatives ...string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: commonName, Organization: organizations},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	for _, alternative := range alternatives {
		if ip := net.ParseIP(alternative); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, alternative)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, p.ca, &key.PublicKey, p.key)
	if err != nil {
		return err
	}
	if err := writePEM(p.path(name+".crt"), "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	return writeKey(p.path(name+".key"), key)
}

// kubeconfig writes a self-contained kubeconfig for the certificate name; it may be copied anywhere.
func (p *pki) kubeconfig(file, server, name string) error {
	data := make(map[string]string)
	for _, part := range []string{"ca.crt", name + ".crt", name + ".key"} {
		raw, err := os.ReadFile(p.path(part))
		if err != nil {
			return err
		}
		data[part] = base64.StdEncoding.EncodeToString(raw)
	}
	return os.WriteFile(file, []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test-cluster
clusters:
- name: test-cluster
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: test-cluster
  context: {cluster: test-cluster, user: %s}
`, server, data["ca.crt"], name, data[name+".crt"], data[name+".key"], name)), 0o600)
}
