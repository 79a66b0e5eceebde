"""What customers say, by category and by urgency, in English and German: fixed phrases with their weights; read by the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.requests.values import Category
from services.support_agents.words import Phrase, phrases

ASKED, DECISIVE, STRONG, FAIR, WEAK = 6.5, 4.5, 3.0, 1.4, 0.75
"""How much one phrase tells: it says what the customer asks for; settles the category; speaks for it clearly; speaks for it; fits it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Phrases that speak for a category, each with the same weight."""

    weight: float
    phrases: tuple[Phrase, ...]


def _evidence(**notations: str) -> tuple[Evidence, ...]:
    weights = {"asked": ASKED, "decisive": DECISIVE, "strong": STRONG, "fair": FAIR, "weak": WEAK}
    return tuple(Evidence(weights[name], phrases(notation)) for name, notation in notations.items())


_ACCOUNT = _evidence(
    decisive="""
        (delete|close|deactivate|remove|cancel|reactivate|unlock|restore) ~ account, (close|delete|remove) ~ profile, account ~
        (hacked|compromised|stolen|locked|closed|deleted|suspended|blocked|disabled|deactivated|banned),
        (forgot|forgotten|lost|reset|change) ~ (password|passwort), (phone number|telephone number|address|name|email|picture|photo) ~
        profile, two factor, 2fa, mfa, two step, authenticator*, single sign on, sso, (konto|benutzerkonto|account|profil|nutzerkonto) ~
        (löschen|gesperrt|gehackt|entsperren|schließen|kündigen), (lösche|schließe|entsperren|löschen) ~ (*konto|profil|account),
        *passwort ~ (vergessen|zurücksetzen|ändern), zwei faktor*, email address ~ (change|changed|update), change ~ (email|e
        mail|username|email address), user account, transfer ownership, locked out, (merge|combine|link|verbinden|zusammenlegen) ~
        (account|accounts|profiles|konten), (erase|delete|remove|wipe) ~ (my|all) ~ (data|details|information), (sign|log|logged|signed)
        in ~ (stranger|somebody|someone|unknown), (somebody|someone|stranger|hacker|jemand) ~ (my account|my password|mein konto|signed
        in|logged in|eingeloggt|angemeldet), right to be forgotten, auskunft nach, log* me out, (benutzername|anzeigename|username|display
        name|nickname) ~ (change|ändern|anpassen), (change|ändern) ~ (display name|nickname|anzeigename*|nutzernamen|benutzernamen), new
        phone ~ (codes|verification|authenticator), (zugang|anmeldung|login) ~ (funktioniert|gesperrt|geht), (change|correct|update) ~
        (last name|surname|first name|my name), (lost|no) access to ~ (account|profile|mailbox), (took over|taken over) ~ account, made an
        account, (which|what) (email|address|mail) ~ (register|registered|use|used|sign up), (profil|konto|zugang) ~
        (deaktivieren|reaktivieren|aktivieren|stilllegen|ruhen|übertragen)
    """,
    strong="""
        password*, passwort*, kennwort*, username*, user name, benutzername*, benutzerkonto, nutzerkonto, credentials, zugangsdaten,
        (cannot|can't|cant|unable|couldn't|could not|not able) ~ (log|sign|get) ~ (in|into), (log|sign|get) ~ (back in|into my), not able
        to sign in, anmelden, einloggen, anmeldung, (nicht|kein) ~ (anmelden|einloggen), my profile, profile picture, mein* profil,
        display name, gdpr, dsgvo, personal data, persönliche* daten, personenbezogene* daten, data ~ store* about me,
        (verification|confirmation|activation) ~ (email|mail|code|link), security code, recovery (email|code|codes|key),
        (admin|administrator) (rights|permission|permissions|role), (revoke|grant|remove|take) ~ access, (add|invite|remove|deactivate) ~
        (user|users|member|members|employee|colleague), (e mail adresse|mailadresse|email adresse) ~ ändern, ändern ~ (e mail
        adresse|mailadresse|email|telefonnummer|namen), *registr*, activate my, two accounts, second account, duplicate account*, hacked,
        gehackt, unlock*, entsperr*, mein konto gesperrt, (phone number|telephone number|email|e mail|name) ~ (in|on|of) my
        (profile|account), membership ~ (suspended|blocked|cancelled), (rechte|rollen|berechtigungen) ~
        (vergeben|ändern|entziehen|zuweisen), registered twice, never (signed up|registered), signed up, sign up, create an account, konto
        ~ (erstellen|anlegen|eröffnen), deregister, *bestätigungscode*, sicherheitscode*, *aktivierungs*, bestätigungslink, passwortlink,
        passcode, pin vergessen, login daten, logindaten, *anmelde*, passkey*, fingerprint login, face id, (log|sign|logged|signed)
        (in|on) ~ (fails|failed|rejected|invalid|denied), (old|new|another|different|wrong) (email|e mail|mailbox|mail address|phone
        number|number) ~ (account|profile|file|registered), on file, session time, my settings, parental control*, (security|secret)
        question, captcha, anzeigename*, profilbild*, avatar, nickname, date of birth, geburtsdatum, (add|new|more|another|extra)
        (user|users|admin|member|members|team member), zugriffsrechte, administrator, admin area, (take over|übernehmen) ~
        (account|konto), kundenkonto, (deaktivieren|löschen|sperren) ~ (nutzer|benutzer|zugang|konto), closed account,
        (left|leaves|leaving) ~ company ~ (access|account|user), offboard*, team member*, impersonat*, verify ~ (identity|me|email),
        security key, logins, opened our account, (leave|leaving|quit) your (platform|service), already taken, real name, last name,
        surname, (should|may|can|darf|soll) ~ only (see|read|view|edit), only see ~ own, nur lesen, (limit|restrict) ~
        (access|rights|view), restrict access, sees the, text message with a code, sms code, used to register, to register, hired three
        people, new employee*, neue mitarbeiter*, neuer mitarbeiter, password link, temporary password, trusted device*, new device,
        unknown device, unbekanntes gerät, login attempt*, anmeldeversuch*
    """,
    fair="""
        account, accounts, benutzer*, my login, login, log in, sign in, signed in, logged in, permission, permissions, admin, profile,
        profil, invitation*, invite*, einladung*, email address, e mail address, mailadresse, e mail adresse, zugriff, zugang, gesperrt,
        my access, need access, get access, verification, verify, verifizier*, bestätigungsmail, bestätigungscode, approve members, our
        only admin, unsubscribe*, newsletter, notification settings, owner of, konto, mitglied*, registered, mailbox, mailaddress, maiden
        name, handynummer, mobilnummer, parental, privacy settings, datenschutz*, recovery, lost my phone, new phone, old phone, logout,
        einladung, eingeladen, my name, meinen namen, nachname*, my details, meine angaben, my seat, her seat, rights, mehrere benutzer,
        own workspace, arbeitsbereich, (role|roles|berechtigung*|rolle|rollen), zugänge, leserechte, berechtigt, register, colleague sees,
        close everything, identity check, name check, ausweis, umbenennen, rename, (role|roles|berechtigung*|rolle|rollen)
    """,
    weak="""
        access, user, users, member, membership, workspace, code, colleague, employee, left our company, my data, meine daten,
        sicherheitscode, settings, einstellungen, profiles, kollege*, kollegin, workspaces, mails, rechte, everywhere in your system,
        person, kollegen
    """,
)

_BILLING = _evidence(
    decisive="""
        (charged|billed|debited) ~ twice, double ~ (charge|charged|billing|payment), (doppelt|zweimal) ~ (abgebucht|belastet|berechnet),
        payment method*, zahlungsart*, zahlungsmethode*, zahlungsweise, billing (address|period|cycle|date|email|contact|details),
        (invoice|bill|rechnung) ~ (wrong|incorrect|falsch|missing|higher|too high|zu hoch|höher), (send|need|resend) ~
        (invoice|invoices|receipt), (corrected|correct|split|change) ~ (invoice|invoices|bill), rechnung ~
        (senden|schicken|korrigieren|finden|fehlt), rechnungsadresse, still (billed|charged) ~ me, (cancelled|canceled) ~
        (charged|billed), umsatzsteuer*, vat, reverse charge, (final|payment) (reminder|notice), purchase order number,
        (bestellnummer|bestellreferenz) ~ rechnung, (apple pay|google pay|paypal|visa|mastercard|credit card|card|klarna|iban) ~
        (declined|rejected|fails|failed|not accepted|won't go through|doesn't go through|abgelehnt), (monthly|yearly|annual|quarterly)
        (billing|invoice|instalment|installment*), (pay|paying|bezahlen|zahlen) ~
        (yearly|annually|monthly|instalments|installments|jährlich|monatlich|raten|ratenzahlung), (bill|invoice|rechnung|abrechnung) ~
        (twice|doppelt|address|adresse|anschrift), (price|fee|rate|tarif|preis|beitrag|bill) ~ (increase*|increased|went up|gone
        up|raised|erhöht|gestiegen), ratenzahlung, instalment plan, (charged|billed) ~ (wrong|too much|more than|extra|again|although), zu
        viel (abgebucht|berechnet|bezahlt), (change|update|replace|ändern|hinterlegen|aktualisieren) ~ (credit card|card|bank
        details|payment details|kreditkarte|bankverbindung|iban|kontoverbindung), not accepted ~ card, (voucher|coupon|gift
        card|code|gutschein|rabatt) ~ (rejected|invalid|expired|accepted|checkout|ungültig|abgelehnt),
        (fee|charge|price|amount|beitrag|preis) ~ (calculated|computed|berechnet|zusammen), new charge, pro rata, anteilig, what will ~
        cost, how much will ~ (cost|pay), (cost|price) ~ next (year|month), (paying|pay|charged|billed) for ~
        (licences|licenses|seats|users), (rechnung|betrag|zahlung) ~ (falsch|stimmt|prüfen|erklären|unklar)
    """,
    strong="""
        invoice, invoices, invoiced, invoicing, *rechnung, *rechnungen, *rechnungs*, billing, bill, bills, billed, receipt, receipts,
        quittung*, beleg, belege, (my|our|the) (credit card|card|bank) ~ (declined|expired|rejected|charged|refused), kreditkarte ~
        (abgelaufen|abgelehnt), payment ~ (failed|declined|pending|due|rejected|went through), (zahlung|bezahlung) ~
        (fehlgeschlagen|abgelehnt), abgebucht, abbuchung*, eingezogen, lastschrift*, direct debit, sepa, bank transfer, wire transfer,
        überweisung, mahnung*, zahlungserinnerung, payment reminder*, overdue, dunning, collection agency, inkasso, tax
        (return|id|number|certificate), price increase, preiserhöhung, per (month|seat|user) ~ charged, (discount|coupon|voucher|promo) ~
        (not applied|code|wasn't applied), (coupon|voucher|gutschein|rabatt*) ~ (applied|eingelöst|abgezogen|berücksichtigt),
        (cancel|kündigen) ~ (subscription|abo|abonnement), (subscription|abo|abonnement) ~ (kündigen|gekündigt), unpaid, paid ~ full
        price, accounting department, monthly fee, monatsgebühr, (annual|monthly) payment, (pay|paying) (annually|monthly), charge ~
        (recognise|recognize|know), iban, bic, bank details, bankverbindung, kontoverbindung, abrechnung*, invoic*, proforma, credit note,
        cost estimate, quoted, quotation, kostenvoranschlag, collections, collection notice, (already|bereits|längst)
        (paid|bezahlt|überwiesen|settled), (still|immer noch) ~ (unpaid|open|offen), withdrawals, withdrawal, identical
        (charges|withdrawals|payments|amounts), tax adviser, tax advisor, accountant, bookkeeping, steuerberater*, finanzamt, prepaid, top
        up, balance, guthaben, *mahnung*, mahngebühr*, late fee, zahlungsfrist, zahlungsziel, payment terms, subscription ~
        (pause|paused|renew|renewed|renews|renewal|end), abo ~ (pausieren|verlängert), auto renew*, automatic renewal, automatisch
        verlängert, trial ~ (charged|billed), was charged, been charged, got charged, am charged, wurde ~ (berechnet|belastet|abgezogen),
        reduced price, discount code, rabattcode, gutscheincode, promo code, gift card, geschenkkarte, apple pay, google pay, visa,
        mastercard, klarna, cheque, standing order, dauerauftrag, vat id, net price, gross, nettopreis, brutto, surcharge, zuschlag,
        hidden fees, exchange rate, wechselkurs, currency, payslip, (unauthorised|unauthorized) charge, (licences|licenses) ~
        (invoiced|billed|charged), fee, instalments, installments, sales tax, tax exempt, exempt, finance team, payment confirmation,
        zahlungsbestätigung, bank statement, on my statement, kundenkarte, verrechnet, rejected at checkout, transaction*, buchung auf,
        unbekannte buchung, spending limit, paying for, minimum contract, mindestlaufzeit, kündigungsfrist, vertragslaufzeit, overpaid,
        underpaid, outstanding amount, offener betrag, offene posten, zahlungseingang, payment received, (unauthorised|unauthorized)
        charge, (licences|licenses) ~ (invoiced|billed|charged)
    """,
    fair="""
        charge, charged, charges, payment, payments, pay, paying, paid, credit card, kreditkarte, debit card, paypal, zahlung*, bezahlt,
        bezahlen, zahlen, betrag, amount, fees, gebühr*, kosten, subscription, abo, abonnement, discount, coupon, voucher, rabatt*,
        gutschein*, tax, steuer*, deducted, debited, statement, kontoauszug, transferred, renewal, überwiesen, buchhaltung, price ~
        higher, too expensive, zu teuer, settled, abgezogen, belastet, berechnet, kassenbon, kreditkarten*, lizenz*, licence fee,
        spending, expenses, finance, quarter, rechnungen, monatlich, jährlich, full price, refuses to release, tarif, teurer, preis,
        prices, expensive, cheaper, cost me, budget, checkout total, licences, beitrag, beiträge, cost from, tax free, monatsbeitrag,
        jahresbeitrag, zahlung
    """,
    weak="""
        price, euro, euros, eur, dollars, usd, card, bank, seats, cost, costs, monthly, contract, vertrag, cancelled, paid for, price
        list, total, february, january, licenses, document you sent, letter, checkout
    """,
)

_TECHNICAL = _evidence(
    decisive="""
        error (message|code|500|502|503|504|404|403|400), (script|javascript|server|internal|certificate|unexpected|syntax) error,
        (app|program|programm|client|software|site|website|page|seite) ~ (crash*|freez*|hang*|stürzt|friert|abstürzt),
        (server|system|site|website|service|production|everything|shop|platform) (is|are) ~ (down|offline|unreachable), outage, ausfall,
        (api|endpoint|webhook|webhooks) ~ (return*|fail*|timeout*|timeouts|error|errors|sends|slow|stopped), nicht erreichbar, stack
        trace, blue screen, blank (screen|page|pages), (black|white) screen, (goes|stays|turns) (black|white|blank), fehlermeldung*,
        losing data, data loss, datenverlust, (does not|doesn't|don't|do not) sync*, (closes|quits|shuts down|restarts|turns off) (by
        itself|itself|on its own|unexpectedly), (nothing|nichts) (can be|happens|passiert|loads|lädt|geht), null pointer,
        (goes|turns|bleibt|wird) ~ (white|black|blank|schwarz|weiß), (throws|threw|wirft) ~ (exception|error|pointer|fehler),
        (return*|responds|antwortet) ~ (500|501|502|503|504|404|403|401|429), (keine|keinen|kein) ~
        (benachrichtigung*|verbindung|ton|bild|signal|daten) ~ (mehr|an), question marks, (nicht mehr|no longer)
        (erkannt|recognised|recognized|angezeigt|displayed|reagiert|möglich|synchronisiert|loads|works|starts|opens|connects),
        (website|app|shop|site|system|service|page|software|webseite) ~ (not load*|unusable|unavailable|unreachable|not working|down),
        (everything|system|website|site) is down, session* ~ (lost|lose|expired|drop|drops|expires), lose their session,
        (answered|answers|fails|rejected|failing) with (400|401|403|404|429|500|502|503), (take|accept|process) payments ~
        (down|unable|offline), unable to take payments, (emails|mails|messages|notifications) ~ (spam|not delivered|not sent|undelivered),
        (service|terminal|terminals|system) ~ (completely down|to be down|down), checksum, mismatch, cannot be
        (restored|opened|loaded|saved|read|found|played), (changes|data|files|entries|settings|texts|pictures) ~
        (disappear|disappears|disappeared|lost|gone|vanish), upside down, (loses|losing|lost) (its|the) ~
        (connection|signal|settings|session), (bleibt|bleiben|steht|hängt) ~ (stehen|hängen), keine
        (ergebnisse|treffer|daten|reaktion|antwort)
    """,
    strong="""
        crash*, absturz*, abstürzt, stürzt ~ ab, freezes, frozen, friert, hangs, error, errors, fehlercode*, exception, bug, bugs,
        glitch*, timeout, timeouts, times out, timed out, zeitüberschreitung, (stopped|stops|not|doesn't|don't|won't|isn't|never)
        (work|working|loading|load|responding|starting|start|open|respond|play), (does not|do not|did not|will not|no longer)
        (work|load|start|open|play|respond|connect|print|save|sync), funktioniert nicht, (geht|lädt|startet|reagiert|öffnet) nicht,
        funktioniert ~ nicht, startet ~ nicht, (can't|cannot|unable to|won't) ~
        (install|connect|download|upload|print|import|export|open|save|load),
        (upload|download|import|export|sync|login|installation|update|connection|backup|print*) ~
        (fails|failed|failing|broken|stuck|hangs|aborts|bricht), keeps
        (rebooting|crashing|disconnecting|freezing|restarting|failing|loading), (nothing|nichts) (happens|passiert),
        (connection|verbindung|wifi|video) ~ (drop|drops|lost|abbricht|abgebrochen), very slow, too slow, extremely slow, sehr langsam,
        extrem langsam, takes ~ minutes to, synchronisier*, permission denied, not recognised, not recognized, nicht erkannt,
        (stuck|hängt) ~ (at|bei) ~ percent, (records|data|files|entries) ~ (vanished|disappeared|lost|missing), not showing up, restarted,
        reinstall*, neu installiert, reboot*, corrupt*, rendered, offline, (since|after) ~ (update|upgrade|patch), (seit|nach) dem
        (update|upgrade), (stopped|stops) (posting|sending|syncing|receiving), sdk, flicker*, flackert, lagging, laggy, ruckelt, (does
        not|doesn't|won't|cannot|can't|fails to|failed to|refuses to)
        (open|load|start|connect|respond|sync|save|send|print|pair|update|install|boot|charge|turn
        on|show|display|refresh|scroll|render|import|export|upload|download|play|receive), pairing, still shows the old, outdated data,
        (wrong|falsche) (numbers|values|data|totals|zahlen|werte|daten), (counted|angezeigt|displayed|shown|appear|appears) ~
        (double|twice|doppelt|wrong|wrongly|falsch), (don't|doesn't|do not|does not) (receive|get) ~
        (webhook*|notification*|events|data|messages|push), beschädigte* datei, datei ~ (beschädigt|öffnen|lädt),
        (öffnen|speichern|laden|drucken|hochladen|starten) ~ (datei|seite|programm|app|nicht|fehler), meldung, erscheint ~
        (meldung|fehler|fenster), (geht|lädt|öffnet|startet|reagiert|druckt|verbindet|synchronisiert|speichert|funktioniert) ~ nicht,
        hängt sich, aufgehängt, eingefroren, (bleibt|bleiben) ~ (hängen|stehen|leer|schwarz|weiß), bricht ~ ab, stürzt, abgestürzt,
        unresponsive, not responding, doesn't react, does not react, sound cuts, (no|kein|without) (sound|ton|signal|picture), cuts out,
        disconnect*, packet loss, dns, vpn, proxy, firewall, port, localhost, dependency, json, xml, payload, oauth token, access token,
        rate limit*, status code, http, https, (log|logs|logfile) ~ (contain*|says|shows|entries), rolled back, roll back, hotfix,
        workaround, unexpected, malfunction*, no reaction, same thing after, tried another (browser|device|cable|computer),
        (works|worked|ging|lief) ~ (yesterday|before|gestern|vorher|früher), in edge it works, blank pages, unable to, freeze, overlap*,
        dropdown ~ empty, (is|are|stays|remains|bleibt|ist) (empty|grey|leer|weg|verschwunden), rest interface, schnittstelle, rest api,
        rotated the keys, api key*, hochladen, runterladen, herunterladen, takes ~ seconds to, takes forever, dauert ewig, lädt nicht,
        distorted, blurry, verzerrt, unscharf, delay, verzögerung, out of sync, wrong time zone, log files, the logs, restored, restore,
        does not appear, doesn't appear, not appear*, not visible, nicht sichtbar, wird nicht
        (angezeigt|gefunden|geladen|erkannt|gespeichert|gesendet), (werden|wird) ~ nicht ~
        (angezeigt|gefunden|geladen|erkannt|gespeichert|gesendet|synchronisiert), can't
        (choose|select|click|type|scroll|finish|submit|send|see), cannot (choose|select|click|type|scroll|finish|submit|send|be), doesn't
        (turn|switch|charge|react|update|let), stuck, keeps (turning|showing|asking|losing|switching), (spinning|endless)
        (wheel|loop|circle), loop, endlosschleife, overheats, überhitzt, disk, memory leak, cpu, 100 percent
    """,
    fair="""
        api, webhook*, endpoint*, server*, log says, the log, console, browser, chrome, firefox, safari, driver, treiber, firmware,
        router, fails, failing, failed, broken, problem with the app, slow, langsam, buggy, synchron*, sync, syncing, upload*, download*,
        import, export, installer, install, fehler, störung, update, upgrade, upgraded, csv, ssl, certificate, cache, latency, debug*,
        integration ~ stopped, backups, does not work, doesn't work, no effect, makes no difference, imported, uploaded, exported,
        downloaded, returning 5*, bluetooth, umlauts, umlaute, encoding, display, anzeige, screen goes, reset, benachrichtigungen,
        notifications, push, defect in the, camera app, scanner*, handheld, access point, patch, since your release, seit dem, since ~
        release, booked through our website, database, query, plugin, extension, add on, script, raw table, rows, wifi, netzwerk, network,
        internet, version 7, bricht, window, fenster, zeigt, sdk version, headset*, microphone, mikrofon, camera doesn't, menu, dropdown,
        form, formular, footer, logo, audio, video, videos, calls, stores are, terminal, thermostat, spam, balken, disappear*, since
        monday, seit montag, settings ~ same, cannot be, since i changed, nicht mehr, no longer, stopped, suddenly, plötzlich, every
        night, all of a sudden, again and again, immer wieder
    """,
    weak="""
        app, software, programm, dashboard, windows, android, iphone, ios, mac, linux, screen, page, website, seite, button, click, file,
        datei, device, gerät, computer, rechner, laptop, handy, wi fi, wlan, connection, verbindung, restart, release, deployment, system,
        printer, drucker, data, usb, cable, phone, mobile, tablet, report, itself, since yesterday, seit gestern, since tuesday, nach dem,
        meeting, doesn't, does not, can't, cannot, won't, don't, isn't, not, nicht, never, nie, bildern, draft, entwurf, every time, each
        time, jedes mal
    """,
)

_PRODUCT = _evidence(
    decisive="""
        feature request, feature (wish|suggestion|list), difference between, unterschied zwischen, back in stock, (auf
        lager|lieferbar|vorrätig), (is|are|ist|sind) ~ (compatible|kompatibel), (does|do) ~ (support|come with|include|work with), which
        (plan|version|model|edition|package), welche (funktionen|version|größe|farben|variante|modelle), gibt es ~ auch (in|als|mit|ohne),
        user (guide|manual), before i (buy|order|purchase), (thinking about|interested in|considering) ~
        (plan|product|software|buying|scheduling), wieder (verfügbar|lieferbar|erhältlich), roadmap, free (version|plan|trial),
        (see|get|book|request) ~ demo, what size, welche größe, how do i (create|set up|configure|use|make|add a|enable|share),
        (is|ist|sind|are) ~ (dishwasher

               safe|waterproof|wasserdicht|spülmaschinenfest|replaceable|adjustable|washable|waschbar|vegan|dimmbar|rechargeable|foldable|geeignet|suitable|included|inklusive|available|erhältlich),
        (how|wie) (often|oft) (must|do|should|does|muss|müssen), what ~ (included|in the box), what is in the, was ist im
        (lieferumfang|paket|set), lieferumfang, passen ~ (zu|für|auf), passt ~ (zu|auf|für|in),
        (which|what|welche|welcher|welches|welchen) ~ (recommend|empfehlen|fits|fit|suits|passt|passen|geeignet), (kann|können) man ~
        (mit|auch|damit), (can|could) (i|we|you|one) ~ (connect|use|combine|customise|customize|import|integrate|export|attach) ~ with,
        any chance of, will there be, is one planned, do you plan to, feature list, wird es ~ geben, does it come, are there any ~
        (versions|models|colours|sizes|templates), (lässt|lassen) sich, how much (storage|space|memory|weight), what is the
        (range|capacity|size|weight|material|power|maximum), what's the (range|capacity|size|weight|material|power|maximum), (does|do) the
        ~ (licence|license|plan|package|kit|set) ~ (cover|include|contain|allow), (family|starter|basic|premium|business)
        (package|pack|kit|set), commercial use, (ok|okay|safe|good|right) for, whole beans, i'd like to suggest, looking for a
        (present|gift|model|device), how to (connect|use|install|assemble|clean|mount|charge), wie
        (stelle|stellt|reinige|montiere|verbinde|lade|installiere|aktiviere|nutze|benutze)
    """,
    strong="""
        feature, features, funktion, funktionen, funktionsumfang, compatible, compatibility, kompatib*, dimensions, abmessungen, maße,
        waterproof, wasserdicht, warranty, garantie, ingredients, inhaltsstoffe, in stock, out of stock, available in, availability,
        verfügbar, specifications, technische daten, (basic|pro|premium|enterprise|business|team|standard) (plan|version|edition|tier),
        pro version, user interface options, keyboard shortcut*, dark (mode|theme), does (it|your|the) ~
        (support|have|fit|include|measure|run|work), can (your|the) (software|app|product|device|tool), how
        (heavy|big|large|tall|wide|long is|loud|thick), suitable for, geeignet für, would love to (see|have), would be
        (great|nice|lovely|helpful) if, please (add it|consider), bedienungsanleitung, gebrauchsanweisung, handbuch, the manual, (wie|how)
        ~ (richte|einrichten|set up), is there a (limit|way|version|mobile|function|setting), maximum ~ (size|number|length), how many ~
        can i, battery life, akkulaufzeit, ersatzteil*, spare part*, zubehör, accessories, mit ~ kompatibel, any plans, is planned,
        geplant, when will ~ (released|available), interface to, recommend, whether ~ (measures|supports|includes|has|fits|works), want to
        know (whether|if), can i (use|connect|attach|wash|combine|create|schedule|customise|customize|add|share|export|import),
        (kann|können) (ich|man|wir) ~
        (nutzen|verwenden|anschließen|verbinden|erstellen|kombinieren|waschen|einstellen|schreiben|exportieren|importieren), hat ~
        (fernbedienung|funktion|anschluss|akku|modus), does (the|this|your) ~
        (have|come|include|support|need|fit|allow|contain|require|last|carry|hold), ist (die|der|das) ~ (für|mit), how long does ~
        (last|battery|charge), starter kit, battery, akku, how do i
        (set|change|turn|switch|find|print|schedule|import|export|move|sort|filter), free tier, ipad version, android version, mobile app
        for, language* ~ support*, support* ~ language*, transcription, sort ~ by, option to, ability to, allow* ~ to, (could|can) you
        add, it would be, wäre schön, wünsche mir, vorschlag, suggestion, larger version, bigger model, new model, neues modell,
        nachfolger, successor, successor model, made of, made in, hergestellt, gluten, allergen*, allergie*, size chart, größentabelle,
        fällt ~ aus, (fits|fit) (a|my|the|in|into|on), cm wide, cm long, cm breit, capacity, fassungsvermögen, leistung, watt, volt,
        replacement (filter|part|bag|blade|battery), (filter|beutel|klingen|ersatz) ~ (model|modell|für|replaced), spare, vergleichen,
        alternative to, integrate with, works with, funktioniert ~ mit, unterstützt, unterstützen, zusätzlich, pre order, vorbestellen, in
        (size|größe|grau|blue|black|red|grün|schwarz|weiß|xl), which of your, drawing says, mirror, docking station, family tariff, tariff
        for, child lock, kindersicherung, range of, can the ~ be, (available|erhältlich|lieferbar) ~ (again|as|in|wieder|als), cut to
        length, induction, dishwasher, batteries, batterien, large buttons, preview, commercial, several channels, e bike, bestandteil*,
        energy class, energieeffizienz*, power consumption, stromverbrauch, noise level, lautstärke, does your, do your, present for,
        geschenk für, assembled, montage, assembly, spares, bags fit, für welche, für wen, wofür, recommended
    """,
    fair="""
        plan, plans, version, versions, model, modell, modelle, edition, colour, color, farbe, farben, size, größe, weight, gewicht,
        material, product, produkt, demo, trial, testversion, manual, anleitung, vergleich*, template*, reporting, calendar, tutorial,
        upgrade to, try, does it, do you have, can i use, is it possible, gibt es, hat ~ (eine|einen), limit, included, inklusive,
        enthalten, separately, functionality, release*, catalogue, catalog, einstellen, einrichten, storage plan, information material,
        buy, kaufen, is there a, is there an, are there, could one, do you offer, do you sell, haben sie, bieten sie, welchen, welcher,
        welches, wie viele, how many, how much does it, how long does, filter, remote, fernbedienung, headphones, planned, ipad, free
        version, kostenlose version, business plan, mounted, renovat*, which one is, what kind, sort, list by, recurring, reminder,
        erinnerung, template, vorlage*, drawer, fabric, stoff, teppich, carpet, monitor*, tent*, cabinet, offline mode, widget, winter,
        rain, regen, storage, speaker, kamera, washing machine, vacuum, pans, blinds, coffee, radio, uhr, watch, lamp, lampe, sofa, chair,
        stuhl, bed, matratze, bike, fahrrad, shirt, jacke, oven, fridge, kühlschrank, toy, spielzeug, suggest, suggestions, guests ~
        board, benutzen, nutzen, read how to, where can i read, per person, alter, ab welchem alter, as well as
    """,
    weak="""
        software, editor, charger, camera, tool, table, which, welche, curious, order ~ size, available, version 3, cm, users, documents,
        wide, long, tall, kit, set, dogs, project, projects, box, will it, mode, modus, over bluetooth, can the, is the, are the, does
        this, does the, do the, will the, what's the, how much, how do i, wie kann, kann ich, kann man, ist die, ist der, ist das, sind
        die, hat die, hat der, hat das, what is the, what are the, can we, can i, in winter
    """,
)

_REFUND = _evidence(
    asked="""
        (please|kindly|want|like|request|need|claim|could you|can you) ~ (refund|refunded|reimburse*|money back|money ~ back), bitte ~
        (erstatten|erstattung|rückzahlung|rückerstattung), (möchte|will|fordere) ~ (geld zurück|erstattung|rückerstattung|zurückgeben),
        (give|get|want|like|expect|need|have|claim|demand|transfer|pay) ~ (money|deposit|fee|payment|price|amount|dollars|euros|pounds) ~
        back, give ~ back the ~ (dollars|euros|money|payment|pounds), (money|deposit|fee|price|payment|euros|dollars) back,
        (return|reverse|undo|cancel) the (second|duplicate|double|extra|wrong) (payment|charge), return the ~ payment,
        (geld|euro|betrag|anzahlung|kaution|gebühr|kaufpreis) ~
        (wiederhaben|zurückhaben|zurückbekommen|zurückerhalten|zurückfordern|erstattet|zurück), (have|had) ~ (money|amount|payment)
        returned, (möchte|will|möchten|wollen|bitte) ~ (umtauschen|retournieren|zurückschicken|zurücksenden), (credit|transfer) ~ my
        (card|bank account|account) ~ back, repay, repaid, repayment, (give|bring|take) ~ (tickets|gift|item|product|goods) back,
        (euros|dollars|pounds|money|amount) transferred to the card, schreiben sie ~ gut, gut schreiben, gutschreiben, trete ~ zurück,
        zurücktreten, rücktritt, full reimbursement, refund it
    """,
    decisive="""
        refund, refunds, refunded, refunding, money back, get ~ money ~ back, get back ~ (price|money|amount),
        (money|payment|amount|price) ~ returned, reimburse*, reimbursement, chargeback, *erstattung*, *erstatten, erstatte, erstattet,
        geld ~ zurück, *rückzahlung*, (betrag|kaufpreis|geld|preis) ~ (zurück|überweisen), return (policy|label|shipment|slip), return ~
        (item|items|order|product|article|payment|money), retoure*, rücksend*, zurücksenden, zurückschicken, zurückgeschickt*,
        zurückgeben, rückgabe*, widerruf*, widerrufe, (vom vertrag|vom kauf) ~ zurücktreten, (send|sent|ship|shipped) ~ back,
        (reverse|undo) ~ (charge|payment|purchase|order), (give|pay|send|transfer) ~ (money|payment|amount) ~ back, purchase price, store
        credit, like my ~ back, wiederhaben, zurückhaben, zurückbekommen, (bring|take|post|give|go|goes) ~ back to ~ (shop|store), has to
        go back, (want|like) to return, going to return, can i return, how can i return, i returned, we returned, have returned, was
        returned, the return, my return, umtausch*, (when|wann) ~ (get|bekomme|erhalte) ~ (money|geld), my money, mein geld, claim
        (what|the money|compensation|back), (half|part|rest|some|all) of the (price|money|amount) back, got the money for, undo ~
        (purchase|order|payment|it), (cancel|storno|stornier*) ~ (order|purchase|booking|bestellung|kauf|buchung),
        (überweisen|überwiesen|überweist) ~ (betrag|zurück), (holen|abholen) ~ (ab|ware), never meant to (renew|buy|order|subscribe),
        cooling off, 14 tage*, 30 day*, satisfaction guarantee, withdraw from (the|my) (contract|purchase), bring back, give ~ tickets
        back, send ~ back, (not|isn't|wasn't) the one in the picture, get the difference, part of the price, returning the others,
        (item|product|goods|ware|artikel) ~ zurück
    """,
    strong="""
        cancel my order, bestellung stornier*, storniere*, exchange it, return it, returned, returning, credit for, gutschrift, wrong
        item, (arrived|came|delivered) ~ (damaged|broken|defective|faulty), (beschädigt|defekt|kaputt) ~ (an|angekommen|geliefert),
        (damaged|defective|faulty) (item|product|goods|on arrival), (ordered|bought|purchased) ~ by mistake, versehentlich
        (bestellt|gekauft), (within|14|30) ~ days ~ (guarantee|return|cancel*), money back guarantee, compensation, entschädigung,
        deposit, kaution, anzahlung, (has|have|had|got) a (hole|crack|scratch|stain|dent), riss, kratzer, wackelt, reklam*,
        (was|were|is|are) (too small|too big|too large|too tight|zu klein|zu groß), wrong (size|colour|color|product|article), falsche*
        (artikel|größe|ware|farbe), falsch geliefert, (bought|ordered) ~ (mistake|accident|accidentally), by accident, purchased
        accidentally, not as described, (isn't|not|wasn't) what i (expected|ordered), nicht wie beschrieben, (arrived|came)
        (broken|damaged|late|defective|scratched|cracked), credit my (card|account), (fee|price|money|amount) ~ back,
        (event|course|concert|flight|booking|trip|show|kurs|flug|konzert|reise) ~ (cancelled|canceled|abgesagt|called
        off|ausgefallen|storniert), never arrived ~ money, (can|could) ~ be reversed, be reversed, unused, ungenutzt, price adjustment,
        price difference, difference back, bring back a gift, smells, riecht, gefällt mir nicht, don't like it, broke after, ging kaputt,
        kaputt gegangen, broken after, stopped working after ~ days, beschädigten, show was moved, hotel was closed, for one day only,
        extra ~ back, only ordered, too many, zu viele geliefert, doppelt geliefert, delivered twice
    """,
    fair="""
        return, returns, damaged, beschädigt, doesn't fit, does not fit, passt nicht, not satisfied, unzufrieden, called off, by mistake,
        compensate*, zurück, send it back, go back, back to a shop, bring ~ back, not happy with ~ (product|purchase|item), enttäuscht,
        disappointed with, half of the price, what i paid, kulanz, goodwill, promised me, arrived broken, angekommen defekt,
        gutgeschrieben, credited, tickets, gift without a receipt, cash or a voucher, without a receipt, glasses broken
    """,
    weak="""
        ware, artikel, cancelled, canceled, order, bestellung, money, geld, wrong size, defective, defekt, item, duplicate payment, dress,
        shoes, wanted, bought, gekauft, ordered, bestellt
    """,
)

_GENERAL = _evidence(
    decisive="""
        opening hours, (shop|store|office|hotline) ~ (open|closed|hours), öffnungszeiten, geöffnet, (head|main) office, headquarters,
        partnership, (where is|where's) my (parcel|package|order|delivery|shipment), wo (bleibt|ist) ~
        (bestellung|paket|lieferung|sendung), tracking number, sendungsverfolgung, (parcel|package|order|delivery|shipment) ~
        (late|delayed|lost|delivered|arrive|arrived), (speak|talk) ~ (human|someone|agent|manager), delivery address, lieferadresse, apply
        for, bewerb*, job, jobs, career*, vacanc*, internship, praktikum, journalist*, interview*, sponsor*, keep up the good work,
        complain* ~ (service|support|staff|employee|hotline), beschwer*, (do|can) you (deliver|ship) to, (liefern|versenden) sie,
        kundenservice, kundendienst, (talk|speak) to ~ (human|person|someone|agent|manager|employee), real person, (press|media)
        (enquiry|inquiry|contact|office|kit), presse*, are you hiring, (visit|tour|besichtig*) ~
        (factory|office|company|museum|plant|werk), (branch|store|shop|filiale|showroom) ~ (near|in|nearby|bei), rückruf*,
        (ship|shipping|deliver|delivery) to, (change|ändern) ~ (delivery|shipping|liefer*), liefertermin,
        (paket|sendung|lieferung|bestellung|parcel|package|delivery) ~
        (angekommen|verspätet|verloren|zugestellt|neighbo*|nachbar*|missing|stuck|moved|attempt*|refused|expected), when will ~
        (arrive|delivered|come), wann ~ (geliefert|ankommen|eintreffen|zugestellt), stellenangebot*, ausbildung*, beschwerde*, complain*
        about, (student|thesis|school|study|research) ~ (questions|visit|classes|industry|project|project), postal address, postanschrift,
        registered letter, (open|geöffnet|closed|geschlossen) ~
        (monday|tuesday|wednesday|thursday|friday|saturday|sunday|easter|christmas|feiertag|sonntag|samstag),
        (filiale|laden|geschäft|store|shop|branch) in, (book|rent) a room, (connect|put) me ~ (manager|supervisor|someone|person|through),
        (nobody|no one|niemand|keiner) ~ (answered|answers|replied|responded|reply|geantwortet|antwortet|reagiert), become a
        (reseller|partner|supplier|dealer|distributor), internship*, internships, climate neutral, (do|can) you deliver, problem is
        solved, problem solved, hat ~ geklappt, pick up point, packstation, delivery man, delivery driver, paketbote, postbote,
        (treated|behandelt) ~ (shop|store|hotline|rude|unfreundlich), (thanks|thank you) (a lot|so much|very much)
    """,
    strong="""
        parcel*, paket, pakete, päckchen, delivery, deliver, lieferung*, geliefert, zugestellt, zustellung, courier, shipping, shipment,
        versand*, tracking, customer service, your service, customer support, hotline, complaint*, complain, rude, unfreundlich*,
        feedback, thank you, thanks for, vielen dank, danke für, great (support|company|service|job|work|team), reach you, contact person,
        phone number, telefonnummer, ansprechpartner*, by phone, telefonisch, call you, nobody (answers|picks|replies|responds), charity,
        donation*, spende*, press, magazine, survey, umfrage, research project, sustainab*, nachhaltig*, location*, filiale*, standort*,
        directions, parking, imprint, hiring, vacancies, thesis, podcast, guest, founder, students, school, schule, student, journalist,
        newspaper, zeitung, ladengeschäft*, laden, branch, showroom, ladenöffnungszeiten, christmas, holidays, weihnachten, neighbour*,
        neighbor*, nachbar*, fahrer, recipient, empfänger, lieferzeit, delivery time, shipping cost*, versandkosten, supposed to arrive,
        was supposed to, was fantastic, fantastic, amazing, wonderful, excellent, friendly, helpful, freundlich*, great, toll, super,
        klasse, zufrieden, alles bestens, love your, made my, advert, advertisement, werbung, (waited|waiting) ~
        (minutes|hours|phone|hotline|line), (called|phoned|angerufen) ~ (times|mal), on hold, warteschleife, nobody ever, picks up, poor
        service, service ~ (poor|bad|terrible|awful|slow|schlecht), schlechter service, unprofessional, impolite, speak*
        (turkish|spanish|french|german|english|italian|polish|russian|arabic), flowers, collaborat*, cooperat*, kooperation, partner,
        reseller, affiliate, supplier, event, fair, messe, brochure, catalogue by post, environment*, climate, packaging, verpackung, who
        do i contact, whom do i, an wen, wer ist zuständig, zuständig, your address, ihre adresse, anfahrt, impressum, congratulations,
        glückwunsch, appreciate, (ring|call) me, was very kind, very kind, thanks a lot, delivered, heard nothing, promised delivery,
        großes lob, lob an, wunderbar, well done, gut gemacht, truck, meetup, manager, supervisor, building, complaint about, a date that,
        day off, easter, ostern, saturdays, sundays, supplier*, fence, letter to, brief an, fax, email address of, management,
        geschäftsführung, (ring|call) me
    """,
    fair="""
        order, bestellung, support team, staff, mitarbeiter*, employee was, store, shop, praise, lob, danke, thanks, visit, company,
        unternehmen, who is responsible, bot, office, shipped, tracking has not, arrive, arrived yet, contact, kontakt, kontaktieren,
        erreichen, erreichbar sind, called four times, phoned, ring me, saturday, sunday, sonntag, samstag, factory, classes, podcast
        guest, who takes care, your team, ihr team, customs, zoll, express, post office, poststelle, abholung, dhl, ups, fedex, package,
        my package, emails, kind, team, solved, sent me, waiting for an answer, warte auf antwort
    """,
    weak="""
        contact you, address, adresse, hours, waiting, phone, telephone, telefon, waiting time, where is, yesterday was, industry, near,
        berlin, hamburg, munich, doorbell, rang
    """,
)

EVIDENCE: Mapping[Category, tuple[Evidence, ...]] = {
    Category.ACCOUNT: _ACCOUNT,
    Category.BILLING: _BILLING,
    Category.TECHNICAL: _TECHNICAL,
    Category.PRODUCT: _PRODUCT,
    Category.REFUND: _REFUND,
    Category.GENERAL: _GENERAL,
}

DENIALS = phrases(
    """
        (don't|dont|do not|doesn't|does not|didn't|did not) (want|need|mean|ask for|require), (not|isn't|is not) (about|asking for|looking
        for|after), no need for, instead of, rather than, no (problem|problems|error|errors|bug|issue|issues|complaint|complaints),
        nothing to do with, (kein|keine|keinen) (problem|fehler|beschwerde|absturz|störung),
        (möchte|will|brauche|möchten|wollen|brauchen|benötige) ~ (kein|keine|keinen), nicht um, statt, anstatt, nichts mit
    """
)
"""Words after one of these, in the same clause, name what the customer does not mean."""

CRITICAL_WORDS = phrases(
    """
        (production|everything|whole ~ shop|entire ~ system) ~ (down|offline|stopped), is down for everyone, all of our ~
        (employees|customers|users|staff), losing (money|data|orders|customers), data (loss|breach|leak), datenverlust, datenleck,
        (account|konto) ~ (hacked|gehackt|compromised|taken over|stolen), security (breach|incident), lawsuit, file a lawsuit, sue you,
        verklage*, klage einreichen, fraud, betrug, identity theft, strafanzeige, for all customers, für alle kunden, life threatening,
        lebensgefahr*, complete outage, totalausfall, (none|all) of our ~ (employees|customers|users|staff),
        (somebody|someone|stranger|hacker) ~ (signed in|logged in|changed my password|in my account), jemand ~ (in meinem konto|mein
        passwort), nobody can work, niemand kann arbeiten, everything is down, alles steht still, datenschutzverletzung, (all|none) of our
        ~ (stores|shops|branches|sites|teams|terminals), all our ~ (stores|shops|branches|customers|users|terminals|employees|sites),
        (took|taken) over my account, completely down, signed in as me, totally down, nichts geht mehr
    """
)
HIGH_WORDS = phrases(
    """
        urgent, urgently, urgency, asap, as soon as possible, immediately, right away, right now, emergency, dringend, eilig, eilt,
        sofort, umgehend, schnellstmöglich, so schnell wie möglich, unverzüglich, notfall, (by|before|until)
        (tonight|tomorrow|noon|monday|tuesday|wednesday|thursday|friday|end of day), by today, before today ends,
        (today|tonight|tomorrow|this week|this morning) ~ (deadline|due|at the latest), needs? it (today|tomorrow|this week), (must|has
        to|have to|need) ~ (today|tonight|tomorrow|this week), (bis|noch) (heute|morgen|montag|dienstag|mittwoch|donnerstag|freitag),
        deadline, frist, blocks (our|us|my), blocking (our|us|me), blocked from working, can't work, cannot work, nicht arbeiten,
        unacceptable, inakzeptabel, unzumutbar, lawyer, solicitor, attorney, anwalt, legal (action|steps), rechtliche schritte, shut off ~
        (service|access), production, last warning, letzte mahnung, (im|am) ~ stillstand, outage, ausfall, (must|have to|has to|need
        to|muss|müssen) ~ (today|noon|tonight|tomorrow|heute|morgen), (today|tonight|tomorrow) ~
        (present|presentation|meeting|exam|flight), locked out ~ (client|present|presentation|meeting), present ~ noon, at noon, before
        (5|6|noon|midnight|the weekend), collections, (502|503|504|500) for, about half of our, fix today, depends on it, zeitkritisch,
        time critical, as quickly as possible, so bald wie möglich, dringende*, final notice, today at the latest, spätestens
        (heute|morgen), urgent*, by tomorrow, audit
    """
)
LOW_WORDS = phrases(
    """
        no (rush|hurry), not urgent, isn't urgent, no urgency, whenever you (can|have time|like), not important, nicht dringend, nicht
        eilig, keine eile, hat zeit, just (asking|curious|wondering), only (asking|curious|planning ahead), curious, nur so, minor,
        cosmetic, low priority, small (bug|issue|typo|thing), tiny, kleinigkeit, kein stress, take your time, thank you for, thanks for,
        danke für, vielen dank für, keep up the good work, feature request, would love to, would be (nice|great|lovely) (if|to), roadmap,
        opening hours, geöffnet, head office, apply for, partnership, sponsor, journalist, telefonnummer, do you (deliver|ship) to,
        parking, charity, open on, are you vacanc*, wondering if, are you hiring, student, just wanted to say, dark mode, any chance of,
        some day, do you have a branch, ladengeschäft, presseanfrage, your new advert, can school classes, hat keine eile, kein grund zur
        eile, no need to hurry, when you get a chance, general enquiry, out of curiosity, no need to answer today, suggest, internships,
        thanks a lot, großes lob, easter, reseller, climate, deliver on, filiale in, book a room, your building, thank you so much, very
        kind
    """
)
